"""Findings of many laws over many cases, as text for people and as JSON for machines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

_VARIES: Final = re.compile("«.*»|'[^'…]*['…]|[0-9]+")
"""What differs between two answers that break a law alike: what is quoted of them, and numbers."""
_QUOTED: Final = 200
"""Characters of an answer that a finding shows."""
_SHOWN: Final = 3
"""Cases that are named of those that have a finding in common; the JSON names all."""


@dataclass(frozen=True, slots=True)
class Known:
    """A failure that somebody knows of and accepts: a whole law's, or what its findings have in common."""

    law: str
    words: str = ""
    """Stand in the finding or in the name of its case; empty: all findings of the law."""

    @classmethod
    def read(cls, text: str) -> Self:
        """From `LAW` or `LAW: WORDS`."""
        law, _, words = text.partition(":")
        return cls(law.strip(), words.strip())

    def __str__(self) -> str:
        return f"{self.law}: {self.words}" if self.words else self.law

    def covers(self, law: str, case: str, finding: str) -> bool:
        """This finding is meant."""
        return law == self.law and (self.words in finding or self.words in case)


@dataclass(slots=True)
class Report:
    """Grows case by case; `ok` while nothing was found but what is known."""

    known: Sequence[Known] = ()
    """What may be broken."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the report is about, for machines."""
    cases: dict[str, int] = field(default_factory=dict)
    """Law -> how many cases it was asked about."""
    findings: list[tuple[str, str, str]] = field(default_factory=list)
    """(law, case, what was found)."""
    remarks: list[tuple[str, str]] = field(default_factory=list)
    """(case, what else there is to know): no law was broken by it."""
    about: dict[str, str] = field(default_factory=dict)
    """Law -> what it asks for and by whose authority, as far as that was told."""
    asked: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Case -> (method, path, body) of its request, of cases that have findings."""

    def add(self, law: str, case: str, findings: Sequence[object], *, count: int = 1, about: str | None = None) -> None:
        """One law was asked about one case, or about `count` of one kind; violations and sentences are both taken."""
        if about:
            self.about[law] = " ".join(about.split())
        self.cases[law] = self.cases.get(law, 0) + count
        self.findings += [(law, case, str(finding)) for finding in findings]

    def remark(self, case: str, text: str) -> None:
        """Something about a case that is no finding."""
        self.remarks.append((case, text))

    @property
    def ok(self) -> bool:
        """No law was broken, but for what is known."""
        return all(map(self.is_known, self.findings))

    def is_known(self, finding: tuple[str, str, str]) -> bool:
        """A failure that covers it is known."""
        return any(known.covers(*finding) for known in self.known)

    def outlived(self) -> list[Known]:
        """What is known, and was not found."""
        return [known for known in self.known if not any(known.covers(*finding) for finding in self.findings)]

    def text(self) -> str:
        """One line a law, then the broken ones with what they ask for and every finding once, with all its cases; then the
        requests that show them, a line a remark, and in the end how it went."""
        told = {law: [finding for finding in self.findings if finding[0] == law] for law in self.cases}
        lines = [f"{self.word(told[law])} {law}: {_counted(n, 'case')}" for law, n in self.cases.items()]
        shown: dict[str, None] = {}
        for law, findings in told.items():
            if findings and law in self.about:
                lines.append(f"      {law} means: {self.about[law]}")
            for group in _alike(findings):
                known = "known: " if all(map(self.is_known, group)) else ""
                shown[group[0][1]] = None
                lines.append(
                    f"      {law} · {_some(list(dict.fromkeys(case for _, case, _ in group)))}: {known}{group[0][2]}"
                )
        lines += [f"asked {case}: {' '.join(self.asked[case]).rstrip()}" for case in shown if case in self.asked]
        lines += [f"note  {case}: {text}" for case, text in self.remarks]
        return "\n".join([*lines, self._verdict()])

    def word(self, findings: Sequence[tuple[str, str, str]]) -> str:
        """How a law or a case went that these are the findings of."""
        if not findings:
            return "ok   "
        return "known" if all(map(self.is_known, findings)) else "FAIL "

    def _verdict(self) -> str:
        found = [finding for finding in self.findings if not self.is_known(finding)]
        broken = len({law for law, _, _ in found})
        result = f"{broken} broken: {_counted(len(found), 'finding')} above" if found else "none is broken"
        known = len(self.findings) - len(found)
        more = f", but for {_counted(known, 'finding')} that {'is' if known == 1 else 'are'} known" if known else ""
        return f"{_counted(len(self.cases), 'law')}, {result}{more}."

    def json(self) -> str:
        """The same for machines; of every law its number of cases, of findings and of those that are not known."""
        laws = {}
        for law, number in self.cases.items():
            findings = [finding for finding in self.findings if finding[0] == law]
            broken = sum(not self.is_known(finding) for finding in findings)
            laws[law] = {"cases": number, "findings": len(findings), "broken": broken, "about": self.about.get(law)}
        found = [
            {"law": law, "case": case, "finding": what, "known": self.is_known((law, case, what))}
            for law, case, what in self.findings
        ]
        remarks = [{"case": case, "remark": text} for case, text in self.remarks]
        asked = {case: dict(zip(("method", "path", "body"), told, strict=True)) for case, told in self.asked.items()}
        told = {"laws": laws, "findings": found, "requests": asked, "remarks": remarks}
        return json.dumps({"ok": self.ok, **self.facts, **told})


def excerpt(raw: bytes) -> str:
    """What a server said, or its beginning, in one line."""
    text = " ".join(raw[: 4 * _QUOTED].decode("utf-8", "replace").split())
    return text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"


def quoted(raw: bytes) -> str:
    """The same of what a model says, which is no part of a fault."""
    return f"«{excerpt(raw)}»"


def mark(finding: str) -> str:
    """What two findings have in common that tell of one fault: all but their numbers, and what they quote."""
    return _VARIES.sub("0", finding)


def _alike(findings: Iterable[tuple[str, str, str]]) -> Iterable[list[tuple[str, str, str]]]:
    """Servers err in many answers alike: those findings together."""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for finding in findings:
        groups.setdefault(mark(finding[2]), []).append(finding)
    return groups.values()


def _some(cases: Sequence[str]) -> str:
    more = len(cases) - _SHOWN
    return "; ".join([*cases[:_SHOWN], *([f"{more} more"] if more > 0 else [])])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
