"""The prompt file."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.compaction.options import Options, load_prompt
from adapter.errors import ConfigError


def test_the_packaged_prompt_asks_for_the_fixed_sections_in_order() -> None:
    headings = [
        "## Goal",
        "## Decisions",
        "## State of the work",
        "## Files and commands that matter",
        "## Open problems",
        "## Next step",
    ]
    prompt = Options().instructions

    assert sorted(headings, key=prompt.index) == headings


def test_another_file_replaces_it(tmp_path: Path) -> None:
    (tmp_path / "p.md").write_text("Kürzer!\n", "utf-8")

    assert load_prompt(tmp_path / "p.md") == "Kürzer!"


def test_a_file_that_cannot_serve_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    for name in ("absent", "empty", "binary"):
        with pytest.raises(ConfigError, match=r"compaction\.prompt"):
            load_prompt(tmp_path / name)
