"""The real Codex CLI over the adapter: every scenario, family, version, upstream dialect and transport."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tests.e2e.codex.compaction import COMPACTION
from tests.e2e.codex.rig import Run
from tests.e2e.codex.scenario import Cell, table
from tests.e2e.codex.signed import SIGNED
from tests.e2e.codex.trouble import TROUBLE
from tests.e2e.codex.work import WORK


@pytest.mark.parametrize("cell", table((*WORK, *COMPACTION, *SIGNED, *TROUBLE)), ids=lambda cell: cell.id)
def test_codex(cell: Cell, runs: dict[str, Future[Run]]) -> None:
    """The scenario's effect on disk, or the final message."""
    run = runs[cell.id].result()

    try:
        cell.check(run)
    except (AssertionError, LookupError) as failed:
        failed.add_note(run.told())
        raise
