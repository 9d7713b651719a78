"""What an upstream says of a part only when the part, its item or the whole answer is done, and in no event before."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from adapter import translate
from adapter.dialects import responses
from adapter.hub.fold import fold
from adapter.hub.grammar import check_chat, check_hub, check_responses
from adapter.hub.request import DialectName, Exchange
from adapter.wire.sse import Decoder, framed
from tests.dialects.responses.streams import CITATION, Json, response

PLACES = ("text.done", "content_part.done", "output_item.done", "completed")
"""The events that repeat a part, each more of the answer than the one before."""
LOGPROBS = [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]
CHAT_CITATION = {"type": "url_citation", "url_citation": {k: v for k, v in CITATION.items() if k != "type"}}
EMPTY = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}


def stream(place: str, part: Json, more: Json, *, delta: str = "", opened: Json = EMPTY) -> list[Json]:
    """A message of one part, of which the events before `place` do not say `more`."""
    known = PLACES.index(place)
    forms = [part | more if number >= known else part for number in range(len(PLACES))]
    at: Json = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    item: Json = {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []}
    kind, field = ("refusal", "refusal") if part["type"] == "refusal" else ("output_text", "text")
    said = {key: value for key, value in forms[0].items() if key in (field, "logprobs")}
    events: list[Json] = [
        {"type": "response.created", "response": response("in_progress", [])},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **at, "part": opened},
    ]
    if delta:
        events.append({"type": f"response.{kind}.delta", **at, "delta": delta})
    if field in said:
        events.append({"type": f"response.{kind}.done", **at, **said})
    events.append({"type": "response.content_part.done", **at, "part": forms[1]})
    if place != "completed":
        done = {**item, "status": "completed", "content": [forms[2]]}
        events.append({"type": "response.output_item.done", "output_index": 0, "item": done})
    whole = {**item, "status": "completed", "content": [forms[3]]}
    events.append({"type": "response.completed", "response": response("completed", [whole])})
    return [{**copy.deepcopy(event), "sequence_number": number} for number, event in enumerate(events)]


def content(events: list[Json]) -> list[Json]:
    """The parts of the message that the hub makes of it, whose events are as they must be."""
    reader = responses.stream_reader(Exchange.unasked("responses"))
    hub = [found for event in events for found in reader.feed(None, orjson.dumps(event))] + reader.close()
    assert check_hub(hub) == []
    (message,) = fold(hub).output
    parts: list[Json] = message["content"]
    return parts


def streamed(events: list[Json], client: DialectName) -> list[Any]:
    """What a client of that dialect is streamed."""
    raw = b"".join(framed(event["type"], orjson.dumps(event)) for event in events)
    out = b"".join(translate.stream([raw], "responses", client))
    assert (check_chat if client == "chat" else check_responses)(out) == []
    return [orjson.loads(data) for _, data in Decoder().feed(out) if data != b"[DONE]"]


def deltas(events: list[Json], key: str) -> list[Any]:
    """What the chunks for a Chat client have under that key of their deltas."""
    choices = [choice for chunk in streamed(events, "chat") for choice in chunk["choices"]]
    return [choice["delta"][key] for choice in choices if choice["delta"].get(key)]


@pytest.mark.parametrize("place", PLACES[1:])
def test_annotations(place: str) -> None:
    events = stream(place, {**EMPTY, "text": "Hi"}, {"annotations": [CITATION]}, delta="Hi")
    assert content(events) == [{**EMPTY, "text": "Hi", "annotations": [CITATION]}]
    assert deltas(events, "annotations") == [[CHAT_CITATION]]
    told = [event["annotation"] for event in streamed(events, "responses") if "annotation" in event]
    assert told == [CITATION]


def test_annotations_in_events_behind_the_parts_end() -> None:
    events = stream("completed", {**EMPTY, "text": "Hi"}, {}, delta="Hi")
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    late = {"type": "response.output_text.annotation.added", **at, "annotation_index": 0, "annotation": CITATION}
    events.insert(-1, late)
    assert content(events) == [{**EMPTY, "text": "Hi", "annotations": [CITATION]}]
    assert deltas(events, "annotations") == [[CHAT_CITATION]]


@pytest.mark.parametrize("place", PLACES)
def test_logprobs(place: str) -> None:
    events = stream(place, {**EMPTY, "text": "Hi"}, {"logprobs": LOGPROBS}, delta="Hi")
    assert content(events) == [{**EMPTY, "text": "Hi", "logprobs": LOGPROBS}]
    chunks = [choice for chunk in streamed(events, "chat") for choice in chunk["choices"]]
    assert [one["logprobs"]["content"] for one in chunks if one["logprobs"]] == [LOGPROBS]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("delta", ["", "H"])
def test_text(place: str, delta: str) -> None:
    events = stream(place, {**EMPTY, "text": delta}, {"text": "Hi"}, delta=delta)
    assert content(events) == [{**EMPTY, "text": "Hi"}]
    assert "".join(deltas(events, "content")) == "Hi"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("opened", [{"type": "refusal", "refusal": ""}, EMPTY])
def test_a_refusal(place: str, opened: Json) -> None:
    """Also where its part was opened as one of text, in which nothing was said."""
    events = stream(place, {"type": "refusal", "refusal": ""}, {"refusal": "No."}, opened=opened)
    said = [part for part in content(events) if part != EMPTY]
    assert said == [{"type": "refusal", "refusal": "No."}]
    assert "".join(deltas(events, "refusal")) == "No."


def test_encrypted_reasoning() -> None:
    """It comes with the item's end and nowhere before, always."""
    opened: Json = {"type": "reasoning", "id": "rs_1", "summary": []}
    done = {**opened, "encrypted_content": "xyz"}
    events: list[Json] = [
        {"type": "response.created", "response": response("in_progress", [])},
        {"type": "response.output_item.added", "output_index": 0, "item": opened},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": response("completed", [done])},
    ]
    told = streamed([{**event, "sequence_number": number} for number, event in enumerate(events)], "responses")
    assert [event["item"].get("encrypted_content") for event in told if "item" in event] == [None, "xyz"]


def test_logprobs_of_which_only_the_end_of_the_text_tells() -> None:
    events = stream("text.done", {**EMPTY, "text": "Hi"}, {"logprobs": LOGPROBS}, delta="Hi")
    for event in events[-3:]:
        whole = event.get("part") or (event.get("item") or event["response"]["output"][0])["content"][0]
        whole["logprobs"] = []
    assert content(events) == [{**EMPTY, "text": "Hi", "logprobs": LOGPROBS}]


def test_a_refusal_of_which_no_event_of_its_text_tells() -> None:
    events = stream("content_part.done", EMPTY, {"type": "refusal", "refusal": "No."})
    events = [event for event in events if event["type"] != "response.output_text.done"]
    assert content(events) == [EMPTY, {"type": "refusal", "refusal": "No."}]


def test_what_comes_too_late_is_an_anomaly() -> None:
    """Of a part behind which another one has begun nothing more can be said."""
    events = stream("output_item.done", {**EMPTY, "text": "Hi"}, {"annotations": [CITATION]}, delta="Hi")
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 1}
    second = [
        {"type": "response.content_part.added", **at, "part": EMPTY},
        {"type": "response.output_text.done", **at, "text": "Ho"},
        {"type": "response.content_part.done", **at, "part": {**EMPTY, "text": "Ho"}},
    ]
    events[-2]["item"]["content"].append({**EMPTY, "text": "Ho"})
    reader = responses.stream_reader(Exchange.unasked("chat"))
    for event in [*events[:-2], *second, *events[-2:]]:
        reader.feed(None, orjson.dumps(event))
    assert [anomaly.kind for anomaly in reader.anomalies] == ["event_after_done"]
