"""Findings of many laws over many cases, as text for people and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """Grows case by case; `ok` while no law was broken."""

    cases: dict[str, int] = field(default_factory=dict)
    """Law -> how many cases it was asked about."""
    findings: list[tuple[str, str, str]] = field(default_factory=list)
    """(law, case, what was found)."""
    remarks: list[tuple[str, str]] = field(default_factory=list)
    """(case, what else there is to know): no law was broken by it."""
    about: dict[str, str] = field(default_factory=dict)
    """Law -> what it asks for and by whose authority, as far as that was told."""

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
        """No law was broken."""
        return not self.findings

    def text(self) -> str:
        """One line a law, then the broken ones with what they ask for and every finding, then a line a remark, and in the
        end how it went."""
        broken = {law: [(case, found) for each, case, found in self.findings if each == law] for law in self.cases}
        lines = [f"{'FAIL' if broken[law] else 'ok  '} {law}: {_counted(n, 'case')}" for law, n in self.cases.items()]
        for law, found in broken.items():
            if found and law in self.about:
                lines.append(f"     {law} means: {self.about[law]}")
            lines += [f"     {law} · {case}: {finding}" for case, finding in found]
        lines += [f"note {case}: {text}" for case, text in self.remarks]
        return "\n".join([*lines, self._verdict(sum(map(bool, broken.values())))])

    def _verdict(self, broken: int) -> str:
        if not broken:
            return f"{_counted(len(self.cases), 'law')}, none is broken."
        return f"{_counted(len(self.cases), 'law')}, {broken} broken: {_counted(len(self.findings), 'finding')} above."

    def json(self) -> str:
        """The same for machines."""
        found = [{"law": law, "case": case, "finding": finding} for law, case, finding in self.findings]
        remarks = [{"case": case, "remark": text} for case, text in self.remarks]
        return json.dumps({"ok": self.ok, "cases": self.cases, "findings": found, "remarks": remarks})


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
