"""The corpus under `fixtures/`, case by case. A file's folders say what it is, its name what it shows; nothing registers it.

    requests/<dialect>/*.json     what clients send                 faults/requests/…   … and must be refused
    replies/<dialect>/*.json      what upstreams answer             faults/replies/…    … broken
    streams/<dialect>/*.sse       what upstreams stream             faults/streams/…    … broken
    seeds/…                       the same kinds, word for word from public documentation

`<name>.expect.json` beside a case says what must come of it, so that the case can fail; its keys are those of
`tests.test_fixtures`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from adapter.hub.request import DialectName

FIXTURES = Path(__file__).parent.parent / "fixtures"
Kind = Literal["requests", "replies", "streams"]
KINDS: tuple[Kind, ...] = ("requests", "replies", "streams")
DIALECT_NAMES: tuple[DialectName, ...] = ("chat", "responses")


@dataclass(frozen=True)
class Case:
    """One file of the corpus."""

    path: Path
    kind: Kind
    dialect: DialectName

    @property
    def name(self) -> str:
        """The path below `fixtures/`, for test ids and messages."""
        return self.path.relative_to(FIXTURES).as_posix()

    @property
    def fault(self) -> bool:
        """It lies under `faults/`: refusing it, or failing, may be the right answer."""
        return self.name.startswith("faults/")

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def expect(self) -> dict[str, Any]:
        """What must come of it; empty where only the general laws are asked of the case."""
        beside = self.path.with_suffix(".expect.json")
        expected: dict[str, Any] = json.loads(beside.read_bytes()) if beside.exists() else {}
        return expected


@cache
def cases(kind: Kind) -> tuple[Case, ...]:
    """Every case of one kind, faults and seeds included, in the order of their names."""
    suffix = ".sse" if kind == "streams" else ".json"
    return tuple(
        Case(path, kind, dialect)
        for dialect in DIALECT_NAMES
        for path in sorted(FIXTURES.glob(f"**/{kind}/{dialect}/*{suffix}"))
        if not path.name.endswith(".expect.json")
    )


def case(name: str) -> Case:
    """The case of that path below `fixtures/`."""
    return next(c for kind in KINDS for c in cases(kind) if c.name == name)
