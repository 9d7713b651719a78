"""Every misconfiguration that we could think of, one to a file: its first line is what `adapter check` says."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from adapter.cli import main

BAD = sorted((Path(__file__).parents[1] / "fixtures" / "config").glob("bad_*.toml"))


def test_there_are_at_least_twenty() -> None:
    assert len(BAD) >= 20


@pytest.mark.parametrize("file", BAD, ids=[file.stem for file in BAD])
def test_check_explains_it_in_one_line(file: Path) -> None:
    says = file.read_text().partition("\n")[0].removeprefix("# ")
    result = CliRunner().invoke(main, ["check", "--config", str(file)])
    assert (result.exit_code, result.stderr, result.stdout) == (2, f"adapter: {says}\n", "")
