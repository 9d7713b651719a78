"""The first request of each family, as the real Codex sends it, is a fixture of the corpus.

`RECORD=1 make e2e ARGS="-k recorded"` writes the fixtures anew.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from adapter.conform.acting import offered
from tests.e2e.codex.families import FAMILIES, Family, says
from tests.e2e.codex.rig import Rig
from tests.e2e.conftest import ROOT

FIXTURES = ROOT / "fixtures" / "requests" / "responses"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
FIRST = [(family, version) for family in FAMILIES for version in family.versions]


def normalised(body: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Ids numbered in their order, paths and times of nowhere."""
    text = json.dumps(body, ensure_ascii=False)
    for place, path in (("/src/project", folder / "project"), ("/home/user/.codex", folder / "home")):
        text = text.replace(str(path), place)
    text = re.sub(r"`/\w+/task", "`/agents/task", text)  # Codex names its first agent like a place of some machine
    ids: dict[str, str] = {}
    text = UUID.sub(lambda found: ids.setdefault(found[0], f"00000000-0000-7000-8000-{len(ids) + 1:012d}"), text)
    text = re.sub(r"<current_date>[^<]*", "<current_date>2026-01-01", text)
    text = re.sub(r"<timezone>[^<]*", "<timezone>Etc/UTC", text)
    text = re.sub(r"\b1\d{12}\b", "1767225600000", text)
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize(("family", "version"), FIRST, ids=[f"{family.name}-{version}" for family, version in FIRST])
def test_the_first_request_is_the_recorded_one(codex_rig: Rig, tmp_path: Path, family: Family, version: str) -> None:
    """Field by field, item type by item type, tool by tool; texts may differ with the machine."""
    key = f"recorded-{family.name}-{version}"
    run = codex_rig.run(key, tmp_path, version, "responses", family.slug, [says("hi")], prompts=["say hi"])
    body = normalised(run.requests[0], tmp_path)
    fixture = FIXTURES / f"codex_{version.replace('.', '_')}_{family.name.replace('.', '_').replace('-', '_')}.json"
    if os.environ.get("RECORD"):
        fixture.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", "utf-8")
    recorded = json.loads(fixture.read_text("utf-8"))

    assert list(body) == list(recorded)
    assert [item["type"] for item in body["input"]] == [item["type"] for item in recorded["input"]]
    assert offered(body).keys() == offered(recorded).keys()
    assert {name: tool.get("parameters") for name, tool in offered(body).items()} == {
        name: tool.get("parameters") for name, tool in offered(recorded).items()
    }
