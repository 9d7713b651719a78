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

    def add(self, law: str, case: str, findings: Sequence[object]) -> None:
        """One law was asked about one case; violations and sentences are both taken."""
        self.cases[law] = self.cases.get(law, 0) + 1
        self.findings += [(law, case, str(finding)) for finding in findings]

    @property
    def ok(self) -> bool:
        """No law was broken."""
        return not self.findings

    def text(self) -> str:
        """One line a law, then one line a finding."""
        broken = {law: sum(found == law for found, _, _ in self.findings) for law in self.cases}
        lines = [f"{'ok  ' if not broken[law] else 'FAIL'} {law}: {count} cases" for law, count in self.cases.items()]
        return "\n".join([*lines, *(f"     {law} · {case}: {found}" for law, case, found in self.findings)])

    def json(self) -> str:
        """The same for machines."""
        found = [{"law": law, "case": case, "finding": finding} for law, case, finding in self.findings]
        return json.dumps({"ok": self.ok, "cases": self.cases, "findings": found})
