"""Laws of what stands between a server that knows functions only and a client that asked for other calls."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.dialects import responses
from adapter.hub.events import Delta, Event, Failed, Finished, ItemClosed, ItemOpened, Opaque, Started
from adapter.hub.fold import fold
from adapter.hub.request import Exchange, ToolKind, ToolRef
from adapter.upstream.profiles import profile
from tests.dialects.responses import streams
from tests.dialects.responses.test_laws import complaints, read

Json = dict[str, Any]
PATCH = ToolRef(ToolKind.CUSTOM, "apply_patch")
MENDED = PATCH._replace(patch=True)
SEARCH = ToolRef(ToolKind.TOOL_SEARCH, "tool_search")
SHELL = ToolRef(ToolKind.LOCAL_SHELL, "local_shell")
SPACED = ToolRef(ToolKind.FUNCTION, "say", "mcp__echo")
FOUND = ToolRef(ToolKind.FUNCTION, "f", "f", found={"type": "function", "name": "f"})
CLIENTS = st.sampled_from([PATCH, MENDED, SEARCH, SHELL, SPACED, FOUND])


def asked(**tools: ToolRef) -> Exchange:
    """Of a client whose tools are behind these names."""
    return replace(Exchange.unasked("responses"), tools=tools)


def call(index: int, name: str, arguments: str, *, cut: int = 3) -> list[Json]:
    """The events of one call: it opens, it grows, it closes."""
    at = {"item_id": f"fc_{index}", "output_index": index}
    item = {"type": "function_call", "id": f"fc_{index}", "call_id": f"call_{index}", "name": name}
    pieces = [arguments[i : i + cut] for i in range(0, len(arguments), cut)]
    return [
        {"type": "response.output_item.added", "output_index": index, "item": {**item, "arguments": ""}},
        *({"type": "response.function_call_arguments.delta", **at, "delta": piece} for piece in pieces),
        {"type": "response.function_call_arguments.done", **at, "arguments": arguments},
        {"type": "response.output_item.done", "output_index": index, "item": {**item, "arguments": arguments}},
    ]


def begun() -> Json:
    return {"type": "response.created", "response": streams.response("in_progress", [])}


def ended(*output: Json) -> Json:
    return {"type": "response.completed", "response": streams.response("completed", list(output))}


def told(events: list[Any]) -> list[tuple[int, str]]:
    """The items in the order in which they open."""
    return [(event.index, event.item["type"]) for event in events if isinstance(event, ItemOpened)]


def test_a_custom_call_grows_as_its_text() -> None:
    text = '*** Begin Patch\n"quoted" ü'
    events = read(
        [begun(), *call(0, "apply_patch", '{"input": "*** Begin Patch\\n\\"quoted\\" \\u00fc"}'), ended()],
        asked(apply_patch=PATCH),
    )

    assert "".join(event.text for event in events if isinstance(event, Delta)) == text
    (item,) = fold(events).output
    assert item == {
        "id": "ctc_0",
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": "call_0",
        "name": "apply_patch",
        "input": text,
    }


def test_what_is_around_patches_is_taken_off_and_reported_once() -> None:
    patch = "*** Begin Patch\n*** Delete File: a\n*** End Patch"
    arguments = json.dumps({"command": ["apply_patch", patch]})
    calls = [call(index, "apply_patch", arguments) for index in range(2)]
    exchange = asked(apply_patch=MENDED)
    reader = responses.stream_reader(exchange)
    events = [
        told
        for event in (begun(), *calls[0], *calls[1], ended())
        for told in reader.feed(None, json.dumps(event).encode())
    ]
    whole = ended(*(pieces[-1]["item"] for pieces in calls))["response"]
    answer, anomalies = responses.read_answer(whole, exchange)

    assert [item["input"] for item in fold(events).output] == [item["input"] for item in answer.output] == [patch] * 2
    for found in (reader.anomalies, anomalies):
        assert [anomaly.kind for anomaly in found if anomaly.kind == "patch_mended"] == ["patch_mended"]


def test_a_call_that_is_told_when_it_is_complete_gives_way_to_what_the_server_tells_beside_it() -> None:
    first, second = call(0, "tool_search", '{"query": "q"}'), call(1, "plain", "{}")
    events = read([begun(), *first[:2], *second, *first[2:], ended()], asked(tool_search=SEARCH))

    assert complaints(events) == []
    assert told(events) == [(0, "function_call"), (1, "tool_search_call")]
    assert fold(events).output[1]["arguments"] == {"query": "q"}


def test_what_follows_a_search_that_was_told_has_another_place() -> None:
    searching = {"type": "response.web_search_call.searching", "output_index": 1, "item_id": "ws_1"}
    item = {"type": "web_search_call", "id": "ws_1", "status": "in_progress"}
    hosted = [{"type": "response.output_item.added", "output_index": 1, "item": item}, searching]
    events = read([begun(), *call(0, "f", "{}"), *hosted, *call(2, "f", "{}"), ended()], asked(f=FOUND))

    assert complaints(events) == []
    kinds = ["tool_search_call", "tool_search_output", "function_call", "web_search_call", "function_call"]
    assert told(events) == list(enumerate(kinds))
    assert [event.event["output_index"] for event in events if isinstance(event, Opaque)] == [3]


@pytest.mark.parametrize("index", [0, 5, -1])
def test_an_extension_may_speak_of_an_item_that_nobody_knows(index: int) -> None:
    extension = {"type": "acme:thought", "output_index": index}
    first = call(0, "tool_search", "{}")
    events = read([begun(), *first[:2], extension, *first[2:], ended()], asked(tool_search=SEARCH))

    assert complaints(events) == []
    assert [event.event for event in events if isinstance(event, Opaque)] == [extension]


def test_arguments_that_make_no_item_are_a_function_call_that_tells_them() -> None:
    reader = responses.stream_reader(asked(local_shell=SHELL))
    whole = {"type": "function_call", "call_id": "c", "name": "local_shell", "arguments": '{"command": 7}'}
    answer, anomalies = responses.read_answer(streams.response("completed", [whole]), asked(local_shell=SHELL))

    assert [item["type"] for item in answer.output] == ["function_call"]
    assert answer.output[0]["arguments"] == '{"command": 7}'
    assert [anomaly.kind for anomaly in anomalies if anomaly.kind == "arguments_unreadable"] == ["arguments_unreadable"]
    assert reader.anomalies == []


def test_a_failure_leaves_the_open_call_as_the_client_knows_it() -> None:
    events = read([begun(), *call(0, "apply_patch", '{"input": "*** Begin"}', cut=12)[:2]], asked(apply_patch=PATCH))

    assert isinstance(events[-1], Failed)
    assert [(item["type"], item["status"], item["input"]) for item in events[-1].items] == [
        ("custom_tool_call", "incomplete", "*")
    ]
    assert complaints(events) == []


def test_the_client_is_told_its_own_tools_and_instructions() -> None:
    offered = [{"type": "function", "name": "apply_patch", "parameters": {}, "strict": False}]
    choice = {"type": "function", "name": "apply_patch"}
    body = streams.response("completed", [], tools=offered, tool_choice=choice, instructions="Be brief.")
    answer, _ = responses.read_answer(
        {**body, "output": [{"type": "message", "role": "assistant", "content": "hi"}]},
        replace(Exchange.unasked("responses"), profile=profile("llama.cpp")),
    )

    assert not {"tools", "tool_choice", "instructions"} & answer.extra.keys()


@settings(max_examples=80)
@given(streams.answers(), CLIENTS)
def test_a_stream_says_what_the_plain_reply_says(events: list[Json], ref: ToolRef) -> None:
    exchange = asked(f=ref)
    streamed = read(events, exchange)
    last = events[-1]["response"]
    if not last["output"] or last["status"] == "failed":
        return
    answer, _ = responses.read_answer(last, exchange)

    assert complaints(streamed) == []
    assert [_comparable(item) for item in fold(streamed).output] == [_comparable(item) for item in answer.output]


def _comparable(item: Json) -> Json:
    return {key: value for key, value in item.items() if key != "id"}


@settings(max_examples=120)
@given(streams.answers(), CLIENTS, st.randoms(use_true_random=False))
def test_whatever_a_broken_upstream_streams_the_grammar_holds(events: list[Json], ref: ToolRef, chance: Any) -> None:
    assert complaints(read(streams.damaged(events, chance), asked(f=ref))) == []


@settings(max_examples=60)
@given(streams.answers())
def test_calls_that_stand_for_themselves_pass_as_they_are(events: list[Json]) -> None:
    assert list(map(_bare, read(events, asked(other=PATCH)))) == list(map(_bare, read(events)))


def _bare(event: Event) -> Event | str:
    """Without what the client is told of its own tools, and without an error, of which no two are equal."""
    if isinstance(event, Failed):
        return repr(event.items)
    if isinstance(event, (Started, Finished)):
        return replace(
            event, extra={key: value for key, value in event.extra.items() if key not in ("tools", "tool_choice")}
        )
    return event


@pytest.mark.parametrize("ref", [PATCH, MENDED, SEARCH, SHELL, SPACED])
def test_every_call_closes_under_the_index_it_opened_under(ref: ToolRef) -> None:
    arguments = '{"command": ["ls"], "input": "x", "query": "q"}'
    events = read([begun(), *call(0, "f", arguments), *call(1, "g", "{}"), ended()], asked(f=ref))

    opened = [event.index for event in events if isinstance(event, ItemOpened)]
    assert opened == [event.index for event in events if isinstance(event, ItemClosed)] == [0, 1]
