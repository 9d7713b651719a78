"""The cells run beside each other: they are started when the first test asks for one, and every test waits for its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.e2e.codex.families import VERSIONS
from tests.e2e.codex.rig import Rig, Run, binary, rig
from tests.e2e.codex.scenario import Cell

AT_ONCE = 4
"""Runs beside each other: one mostly waits for its own start."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cells that do not apply are skipped with their reason."""
    for item in items:
        cell = item.callspec.params.get("cell") if hasattr(item, "callspec") else None
        if isinstance(cell, Cell) and cell.excluded:
            item.add_marker(pytest.mark.skip(reason=cell.excluded))


@pytest.fixture(scope="session")
def codex_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The servers."""
    for version in VERSIONS:
        if binary(version) is None:
            pytest.skip(f"codex {version} is not installed: `make e2e` does it, with npm")
    with rig(tmp_path_factory.mktemp("rig")) as found:
        yield found


@pytest.fixture(scope="session")
def runs(
    codex_rig: Rig, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Run]]]:
    """The run of every collected cell, by its id."""
    cells = [item.callspec.params.get("cell") for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            cell.id: pool.submit(cell.run, codex_rig, tmp_path_factory.mktemp("cell"))
            for cell in cells
            if isinstance(cell, Cell) and not cell.excluded
        }
        pool.shutdown(cancel_futures=True)
