"""The README's table of compaction is the one that the code goes by."""

from __future__ import annotations

from pathlib import Path

from adapter.compaction.plan import ClientShape, UpstreamKind, Way, way

README = Path(__file__).parents[2] / "README.md"

CLIENTS = [
    (ClientShape.COMPACTION, "`/responses/compact`, as OpenAI"),
    (ClientShape.RESPONSE, "… answered as a response (gogogotoken)"),
    (ClientShape.GOMODEL, "… with provider and metadata (GoModel)"),
    (ClientShape.CHAT, "… chat-shaped (VisionCoder)"),
    (ClientShape.COMPACTION, "… Codex up to 0.120"),
    (ClientShape.TRIGGER, "`compaction_trigger` (Codex)"),
    (ClientShape.THRESHOLD, "`context_management`"),
]
CELLS = {
    Way.ENDPOINT_BLOB: "its endpoint",
    Way.ENDPOINT_TEXT: "its endpoint",
    Way.TRIGGER_BLOB: "its trigger",
    Way.HAND_ON: "its endpoint",
    Way.SUMMARISE: "summary",
}


def table() -> str:
    rows = [["client", *(f"`{kind.value}`" for kind in UpstreamKind)]]
    rows += [[told, *(CELLS[way(shape, kind)] for kind in UpstreamKind)] for shape, told in CLIENTS]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def test_the_readme_shows_the_table_that_the_code_goes_by() -> None:
    assert {shape for shape, _ in CLIENTS} == set(ClientShape)
    assert table() in README.read_text("utf-8"), f"put this into the README:\n{table()}"


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150
