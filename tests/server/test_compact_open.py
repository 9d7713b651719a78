"""Histories that are compacted while a call waits for its output: it stays open, or the client is told that it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapter.conform.compactors import KINDS, CompactPeer, Kind
from tests.server.compacting import ASKS, COMPACT, FACTS, HISTORY, MESSAGES, WAYS, Way, asked, final, peered, told
from tests.server.harness import Client, adapter, play

CALL = {"type": "function_call", "call_id": "call_9", "name": "shell", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_9", "output": "FACT-late"}
OPEN = [*HISTORY, ASKS, CALL]
TRIGGER = {"type": "compaction_trigger"}


async def endpoint(client: Client, items: list[dict[str, Any]]) -> Any:
    return await client.post(COMPACT, {"model": "m", "input": items})


async def trigger(client: Client, items: list[dict[str, Any]]) -> Any:
    return await client.post("/v1/responses", {"model": "m", "input": [*items, TRIGGER]})


DOORS = {"endpoint": endpoint, "trigger": trigger}
TWICE = [
    (kind, first, second)
    for kind in KINDS
    for first in DOORS
    for second in DOORS
    if kind != "compaction" and (kind != "trigger" or first == second == "endpoint")
]
"""Those whose upstream is told what waits, and does not itself say that it is over."""


@pytest.mark.parametrize(("kind", "first", "second"), TWICE)
def test_a_call_is_open_behind_two_compactions_as_behind_one(kind: Kind, first: str, second: str) -> None:
    async def scenario() -> None:
        peer = CompactPeer(kind)
        async with peered(peer) as section, adapter(section) as client:
            once = await DOORS[first](client, OPEN)
            twice = await DOORS[second](client, once.json["output"])
            assert "x-adapter-losses" not in once.headers | twice.headers
            answer = await client.post("/v1/responses", {"model": "m", "input": [*twice.json["output"], OUTPUT]})
            assert answer.status == 200, answer.body
            assert told(answer.json) == FACTS
            assert b"FACT-late" in answer.body
            assert peer.problems == []

    play(scenario)


@pytest.mark.parametrize("name", ["gogogotoken", "gomodel"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("trigger", "compaction")])
def test_a_summary_as_text_cannot_hold_a_call_that_waits_and_so_it_is_a_loss(kind: Kind, name: str) -> None:
    way = WAYS[name]
    waiting = Way(way.path, way.body | {"input": OPEN}, way.headers, way.returned)

    async def scenario() -> None:
        async with peered(CompactPeer(kind)) as section, adapter(section) as client:
            assert (await asked(client, waiting)).headers["x-adapter-losses"] == f"input[{len(HISTORY) + 1}];dropped"
            assert "x-adapter-losses" not in (await asked(client, way)).headers

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["none_chat", "none_responses", "compaction"])
def test_a_call_that_nobody_answered_before_the_turn_that_goes_on_is_a_loss_for_a_chat_client(
    kind: Kind, stream: bool
) -> None:
    function = {"name": "shell", "arguments": "{}"}
    lost = [
        {"role": "assistant", "content": None, "tool_calls": [{"id": name, "type": "function", "function": function}]}
        for name in ("call_8", "call_9")
    ]
    way = WAYS["visioncoder"]
    waiting = Way(way.path, way.body | {"messages": [*MESSAGES[:-1], *lost, MESSAGES[-1]]}, {}, None, streams=True)

    async def scenario() -> None:
        peer = CompactPeer(kind)
        async with peered(peer) as section, adapter(section) as client:
            answer = await asked(client, waiting, stream)
            action = "dropped" if kind == "compaction" else "approximated"
            assert answer.headers["x-adapter-losses"] == f"messages;{action}"
            assert told(final(answer)) == FACTS
            assert peer.problems == []
            assert "x-adapter-losses" not in (await asked(client, way, stream)).headers

    play(scenario)


@pytest.mark.parametrize("kind", ["none_chat", "none_responses", "response"])
def test_a_call_that_nobody_answered_is_a_loss_of_whatever_goes_on_from_a_compaction(kind: Kind) -> None:
    async def scenario() -> None:
        async with peered(CompactPeer(kind)) as section, adapter(section) as client:
            shown = (await endpoint(client, OPEN)).json["output"]
            held = (await trigger(client, OPEN)).json["output"]
            way = WAYS["threshold"]
            for output, place in ((shown, [item["type"] for item in shown].index("function_call")), (held, 0)):
                turn = await client.post("/v1/responses", {"model": "m", "input": [*output, ASKS]})
                assert turn.headers["x-adapter-losses"] == f"input[{place}];dropped"
                due = way.body | {"input": [*output, *HISTORY[3:], ASKS]}
                assert (await client.post(way.path, due)).headers["x-adapter-losses"] == f"input[{place}];dropped"

    play(scenario)


@pytest.mark.parametrize("kind", ["none_chat", "none_responses", "response"])
def test_a_call_that_only_a_compaction_holds_is_answered_in_a_turn_that_names_the_response(
    kind: Kind, tmp_path: Path
) -> None:
    store = {"url": f"sqlite:///{tmp_path}/store.db"}

    async def scenario() -> None:
        peer = CompactPeer(kind)
        async with peered(peer) as section, adapter(section, store=store) as client:
            held = (await trigger(client, OPEN)).json["output"]
            first = await client.post("/v1/responses", {"model": "m", "input": [*held, OUTPUT], "store": True})
            assert first.status == 200, first.body
            kept = await client.post("/v1/responses", {"model": "m", "input": [*held, TRIGGER], "store": True})
            on = {"model": "m", "previous_response_id": kept.json["id"], "input": [OUTPUT]}
            answer = await client.post("/v1/responses", on)
            assert answer.status == 200, answer.body
            assert b"FACT-late" in answer.body
            assert peer.problems == []
            unknown = on | {"input": [OUTPUT | {"call_id": "call_x"}]}
            assert (await client.post("/v1/responses", unknown)).status == 400

    play(scenario)
