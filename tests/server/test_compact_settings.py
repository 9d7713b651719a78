"""Settings that a conversation changed on its way (`configuration_update`) hold after a compaction, too."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.conform.compactors import KINDS, CompactPeer, Kind
from adapter.upstream.profiles import profile
from tests.server.compacting import ASKS, CELLS, FACTS, HISTORY, WAYS, Way, asked, continued, final, peered, told
from tests.server.harness import adapter, play

UPDATE = "configuration_update"
CAPABLE = {"reasoning_effort": True}
FORMAT = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}


def update(**settings: Any) -> dict[str, Any]:
    return {"type": UPDATE, **settings}


LATER = {"type": "message", "role": "user", "content": "More."}
CHANGING = [
    *HISTORY[:2],
    update(reasoning={"effort": "high"}, text={"format": FORMAT}),
    *HISTORY[2:],
    LATER,
    update(reasoning={"effort": "low"}),
]
TOGETHER = update(reasoning={"effort": "low"}, text={"format": FORMAT})


def changing(way: Way) -> Way:
    """The same client, whose conversation changed settings twice."""
    rest = way.body["input"][len(HISTORY) :]
    return Way(way.path, way.body | {"input": [*CHANGING, *rest]}, way.headers, way.returned, way.streams)


def settings(body: dict[str, Any]) -> Any:
    """What an upstream is to answer with, of a turn."""
    if "messages" in body:
        form = body.get("response_format") or {}
        return body.get("reasoning_effort"), form.get("type")
    found = [item for item in body["input"] if item["type"] == UPDATE]
    assert len(found) == 1
    return found[0]["reasoning"]["effort"], found[0]["text"]["format"]["type"]


ITEMS = [
    (name, stream, kind)
    for name, stream in CELLS
    for kind in KINDS
    if name in ("openai", "trigger", "threshold") and (name, kind) != ("trigger", "trigger")
]
"""An upstream that is asked a trigger as it came says itself what holds behind it."""


@pytest.mark.parametrize(("name", "stream", "kind"), ITEMS)
def test_what_a_conversation_changed_of_its_settings_holds_after_its_compaction(
    name: str, stream: bool, kind: Kind
) -> None:
    """One update behind the compaction item says it, as with OpenAI, whoever compacted; nothing else is told of any."""
    way = changing(WAYS[name])

    async def scenario() -> None:
        peer = CompactPeer(kind, profile("generic", CAPABLE))
        keys = {"capabilities": CAPABLE} if peer.dialect == "chat" else {}
        async with peered(peer, **keys) as section, adapter(section) as client:
            answer = await asked(client, way, stream)
            assert answer.status == 200, answer.body
            output = final(answer)["output"]
            place = [item["type"] for item in output].index("compaction")
            assert {key: value for key, value in output[place + 1].items() if key != "id"} == TOGETHER
            assert [item["type"] for item in output].count(UPDATE) == 1
            asked_for = peer.seen[: None if name != "threshold" else -1]
            assert not any(UPDATE in str(body) for _, body in asked_for)
            if name == "threshold":
                assert settings(peer.seen[-1][1]) == ("low", "json_schema")
            assert told(await continued(client, final(answer), way)) == FACTS
            assert settings(peer.seen[-1][1]) == ("low", "json_schema")
            assert peer.problems == []

    play(scenario)


@pytest.mark.parametrize("name", ["gogogotoken", "gomodel"])
def test_a_summary_as_text_cannot_say_settings_and_so_they_are_a_loss(name: str) -> None:
    async def scenario() -> None:
        async with peered(CompactPeer("none_chat")) as section, adapter(section) as client:
            assert (await asked(client, changing(WAYS[name]))).headers["x-adapter-losses"] == "input;dropped"
            assert "x-adapter-losses" not in (await asked(client, WAYS[name])).headers

    play(scenario)


def test_a_loss_of_a_turn_that_goes_on_is_named_by_its_place_among_the_updates() -> None:
    async def scenario() -> None:
        way = WAYS["threshold"]
        file = {"type": "input_file", "file_id": "file_1"}
        asks = {**ASKS, "content": [*ASKS["content"], file]}
        async with peered(CompactPeer("none_chat")) as section, adapter(section) as client:
            found = await client.post(way.path, way.body | {"input": [*CHANGING, asks]})
            lost = f"reasoning.effort;dropped, input[{len(CHANGING)}].content[1];dropped"
            assert found.headers["x-adapter-losses"] == lost

    play(scenario)
