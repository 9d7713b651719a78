"""What crosses the wire in every cell of the compaction table, held as recorded in `fixtures/compaction`.

A file holds the client's call, what the upstream was asked, and the answer; ids, times, sealed content and long texts are
normalised. `RECORD=1 pytest tests/server/test_compact_fixtures.py` writes the files anew; read the difference before it
is committed.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Final

import pytest

from adapter.conform.compactors import KINDS, CompactPeer, Kind
from tests.server.compacting import KEY, WAYS, asked, peered
from tests.server.harness import adapter, play

FOLDER: Final = Path(__file__).parents[2] / "fixtures" / "compaction"
_LONGEST: Final = 160
_SEALED: Final = re.compile(r"(adapter:1:\w+:\w*):.*", re.S)
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")
_TIMES: Final = ("created", "created_at", "completed_at")


def normal(value: Any, key: str = "") -> Any:
    """Without what differs from run to run, and without the length of long texts."""
    match value:
        case dict():
            return {name: normal(inner, name) for name, inner in value.items()}
        case list():
            return [normal(inner) for inner in value]
        case str():
            text = _TOKEN.sub("TOKEN", _SEALED.sub(r"\1:SEALED", value))
            return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … {len(text)} characters"
        case int() if key in _TIMES:
            return 0
        case _:
            return value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", WAYS)
def test_the_cell_says_on_the_wire_what_was_recorded(kind: Kind, name: str) -> None:
    found: dict[str, Any] = {}

    async def scenario() -> None:
        peer = CompactPeer(kind)
        async with peered(peer) as section, adapter(section, sealing={"keys": [KEY]}) as client:
            way = WAYS[name]
            answer = await asked(client, way)
            headers = {k: v for k, v in answer.headers.items() if k.startswith("x-adapter")}
            found["client"] = {"path": way.path, "headers": way.headers, "body": way.body}
            found["upstream"] = [{"path": path, "body": body} for path, body in peer.seen]
            found["answer"] = {"status": answer.status, "headers": headers, "body": answer.json}

    play(scenario)
    file = FOLDER / f"{name}__{kind}.json"
    said = normal(found)
    if os.environ.get("RECORD"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert said == json.loads(file.read_text("utf-8"))


def test_there_is_one_file_for_every_cell_and_no_other() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == {f"{name}__{kind}" for name in WAYS for kind in KINDS}
