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

    def add(self, law: str, case: str, findings: Sequence[object], *, count: int = 1) -> None:
        """One law was asked about one case, or about `count` of one kind; violations and sentences are both taken."""
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
        """One line a law, then one line a finding, then one a remark."""
        broken = {law: sum(found == law for found, _, _ in self.findings) for law in self.cases}
        lines = [f"{'ok  ' if not broken[law] else 'FAIL'} {law}: {count} cases" for law, count in self.cases.items()]
        lines += [f"     {law} · {case}: {found}" for law, case, found in self.findings]
        return "\n".join([*lines, *(f"note {case}: {text}" for case, text in self.remarks)])

    def json(self) -> str:
        """The same for machines."""
        found = [{"law": law, "case": case, "finding": finding} for law, case, finding in self.findings]
        remarks = [{"case": case, "remark": text} for case, text in self.remarks]
        return json.dumps({"ok": self.ok, "cases": self.cases, "findings": found, "remarks": remarks})
