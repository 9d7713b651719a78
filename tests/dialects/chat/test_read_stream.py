"""Chat streams of every server into hub events: the scenarios of the fault catalogue, section D."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapter.dialects import chat
from adapter.errors import UpstreamTimeout, UpstreamTruncated
from adapter.hub.events import (
    Annotated,
    Delta,
    DeltaKind,
    Event,
    Failed,
    Finished,
    ItemClosed,
    ItemOpened,
    PartClosed,
    PartOpened,
    Started,
    Usage,
)
from adapter.hub.fold import fold
from adapter.hub.grammar import check_hub
from adapter.hub.usage import normal
from tests.dialects.chat.making import HEAD, call, calling, chunk_bytes, exchange, kinds, read_all, say
from tests.playbook import Playbook, broken, chunk, eof, sse

STARTED = Started("resp_1", "m", 5)
EMPTY_TEXT = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
MESSAGE = {"id": "msg_1_0", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def text_part(text: str) -> dict[str, Any]:
    return EMPTY_TEXT | {"text": text}


def message(*parts: dict[str, Any], status: str = "completed", index: int = 0) -> dict[str, Any]:
    return MESSAGE | {"id": f"msg_1_{index}", "status": status, "content": list(parts)}


def text(delta: str, index: int = 0, part: int = 0) -> Delta:
    return Delta(index, part, DeltaKind.TEXT, delta)


def outputs(events: list[Event]) -> list[dict[str, Any]]:
    assert check_hub(events) == []
    return fold(events).output


def test_the_ordinary_stream_event_by_event() -> None:
    """Role, text, finish, usage, [DONE]: the terminal event waits for the usage."""
    play = Playbook(chat.stream_reader(exchange()))

    play >> say({"role": "assistant", "content": ""}) << [STARTED]
    play >> say({"content": "he"}) << [ItemOpened(0, MESSAGE), PartOpened(0, 0, EMPTY_TEXT), text("he")]
    play >> say({"content": "llo"}) << [text("llo")]
    play >> say({}, "stop") << [PartClosed(0, 0, text_part("hello")), ItemClosed(0, message(text_part("hello")))]
    assert play.reader.settling
    play >> chunk({**HEAD, "choices": [], "usage": USAGE}) << []
    play >> chunk("[DONE]") << [Usage(normal(USAGE) or {}), Finished("completed")]
    assert play.reader.ended
    play >> chunk("[DONE]") << []
    play >> say({"content": "late"}) << []
    play >> eof() << []
    play.done()
    assert play.reader.anomalies == []


def test_chunks_that_hold_a_null_message_beside_their_delta_are_chunks() -> None:
    """A gateway that writes out every field of a choice, and calls its chunks completions."""
    events, _ = read_all(
        chunk_bytes({"content": "a"}, choice={"message": None}, object="chat.completion"),
        chunk_bytes({"content": "b"}, "stop", choice={"message": None}, object="chat.completion"),
    )

    assert outputs(events) == [message(text_part("ab"))]


def test_nothing_but_a_finish_is_one_empty_message() -> None:
    events, _ = read_all(chunk_bytes({}, "stop"))

    assert outputs(events) == [message(text_part(""))]


def test_missing_done_after_a_finish_is_complete() -> None:
    events, reader = read_all(chunk_bytes({"content": "x"}, "stop"), end=None)

    assert events[-1] == Finished("completed")
    assert reader.anomalies == []


def test_done_without_finish_is_inferred() -> None:
    events, reader = read_all(chunk_bytes({"content": "x"}))

    assert outputs(events) == [message(text_part("x"))]
    assert kinds(reader) == ["finish_inferred"]


@pytest.mark.parametrize(
    ("arguments", "completed"),
    [
        (['{"path": "/srv/old'], False),
        (['{"path": "/srv/ol', "d", '/x"}'], True),
        (['{"a":{}', "}"], True),
        (['{"a":{}'], False),
        (["[1, 2"], False),
        ([""], True),
        ([" "], True),
    ],
)
def test_done_without_finish_amid_a_call_is_truncated(arguments: list[str], completed: bool) -> None:
    """A client would run it; a call whose arguments are whole is complete, and one that has none is as it always is."""
    chunks = [chunk_bytes({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}]})]
    chunks += [chunk_bytes({"tool_calls": [{"index": 0, "function": {"arguments": text}}]}) for text in arguments]
    events, reader = read_all(*chunks)

    assert any(isinstance(event, ItemClosed) for event in events) is completed
    assert isinstance(events[-1], Finished) is completed
    assert kinds(reader) == (["finish_inferred"] if completed else [])
    if isinstance(events[-1], Failed):
        assert isinstance(events[-1].error, UpstreamTruncated)
        assert [item["arguments"] for item in events[-1].items] == ["".join(arguments)]


def test_end_without_finish_and_done_is_truncated_and_keeps_what_came() -> None:
    events, _ = read_all(chunk_bytes({"content": "x"}), end=None)

    last = events[-1]
    assert isinstance(last, Failed)
    assert isinstance(last.error, UpstreamTruncated)
    assert last.items == [message(text_part("x"), status="incomplete")]
    assert not any(isinstance(event, ItemClosed) for event in events)


def test_an_empty_stream_is_a_failure_even_with_done() -> None:
    for end in (b"[DONE]", None):
        events, _ = read_all(end=end)
        assert [type(event) for event in events] == [Failed]


def test_a_broken_transport_fails_before_the_finish_and_not_behind_it() -> None:
    error = UpstreamTimeout("too slow")
    play = Playbook(chat.stream_reader(exchange()))
    play >> say({}) << [STARTED]
    play >> broken(error) << [Failed(error)]

    events, reader = [], chat.stream_reader(exchange())
    events += reader.feed(None, chunk_bytes({"content": "x"}, "stop"))
    assert reader.fail(error) == [Finished("completed")]
    assert kinds(reader) == ["error_after_finish"]


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("function_call", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("eos", "completed", None),
        ("model_length", "incomplete", "max_output_tokens"),
        ("sensitive", "incomplete", "content_filter"),
    ],
)
def test_every_finish_word_has_its_ending(word: str, status: str, reason: str | None) -> None:
    events, reader = read_all(chunk_bytes({"content": "x"}, word))

    assert events[-1] == Finished(status, reason)  # type: ignore[arg-type]
    assert outputs(events)[-1]["status"] == status
    official = word in ("stop", "tool_calls", "function_call", "length", "content_filter")
    assert kinds(reader) == ([] if official else ["finish_unknown"])


@pytest.mark.parametrize("word", ["error", "insufficient_system_resource"])
def test_finish_words_of_failure_fail(word: str) -> None:
    events, _ = read_all(chunk_bytes({"content": "x"}, word))

    assert isinstance(events[-1], Failed)
    assert events[-1].items[0]["content"][0]["text"] == "x"


def test_a_choice_that_says_why_it_was_broken_off_is_believed() -> None:
    """OpenRouter: the error of its provider stands in the choice."""
    why = {"code": 429, "message": "Rate limited upstream"}
    events, _ = read_all(chunk_bytes({"content": "x"}), chunk_bytes({}, "error", choice={"error": why}))

    assert isinstance(events[-1], Failed)
    assert events[-1].error.message == "Rate limited upstream"
    assert events[-1].error.http_status == 429


@pytest.mark.parametrize("not_yet", [None, "", "null", "None"])
def test_a_finish_that_is_none_does_not_end_the_answer(not_yet: Any) -> None:
    events, _ = read_all(chunk_bytes({"content": "a"}, not_yet), chunk_bytes({"content": "b"}, "stop"))

    assert outputs(events) == [message(text_part("ab"))]


def test_the_first_of_two_finishes_wins_and_content_behind_it_is_dropped() -> None:
    events, reader = read_all(
        chunk_bytes({"content": "x"}, "length"),
        chunk_bytes({"content": "y"}, "stop"),
        chunk_bytes({"content": ""}, "stop"),
    )

    assert events[-1] == Finished("incomplete", "max_output_tokens")
    assert outputs(events) == [message(text_part("x"), status="incomplete")]
    assert kinds(reader) == ["content_after_finish"]


# ------------------------------------------------------------------------------------------------------- the envelope


def test_azures_empty_first_chunk_pins_nothing() -> None:
    first = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []}
    events, _ = read_all(orjson.dumps(first), chunk_bytes({"content": "x"}, "stop"))

    assert isinstance(events[0], Started)
    assert (events[0].id, events[0].model) == ("resp_1", "m")


def test_id_model_and_time_are_those_of_the_first_chunk() -> None:
    events, _ = read_all(chunk_bytes({"content": "x"}), chunk_bytes({}, "stop", id="other", model="other", created=9))

    assert [event for event in events if isinstance(event, Started)] == [STARTED]


def test_a_missing_model_is_the_one_asked_for_and_a_missing_time_the_clocks() -> None:
    reader = chat.stream_reader(exchange(), clock=lambda: 77, ids=lambda source: "t")
    events = reader.feed(None, b'{"choices":[{"delta":{}}]}')

    assert events == [Started("resp_t", "asked", 77)]


def test_a_float_time_is_whole_seconds() -> None:
    events, _ = read_all(chunk_bytes({}, "stop", created=5.75))

    assert events[0] == STARTED


def test_tier_and_fingerprint_ride_along_from_either_end() -> None:
    events, _ = read_all(
        chunk_bytes({"content": "x"}, system_fingerprint="fp"), chunk_bytes({}, "stop", service_tier="flex")
    )

    assert fold(events).extra == {"system_fingerprint": "fp", "service_tier": "flex"}


@pytest.mark.parametrize("choices", [None, [], "no", {}, [None], [[]]])
def test_chunks_without_a_choice_say_nothing(choices: Any) -> None:
    idle = orjson.dumps({**HEAD, "choices": choices})
    events, _ = read_all(chunk_bytes({"content": "a"}), idle, chunk_bytes({"content": "b"}, "stop"))

    assert outputs(events) == [message(text_part("ab"))]


@pytest.mark.parametrize("delta", [None, [], "x", 1])
def test_a_delta_that_is_no_object_says_nothing(delta: Any) -> None:
    raw = orjson.dumps({**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    events, _ = read_all(raw, chunk_bytes({"content": "b"}, "stop"))

    assert outputs(events) == [message(text_part("b"))]


def test_other_choices_are_ignored_and_reported_once() -> None:
    other = chunk_bytes({"content": "other"}, choice={"index": 1})
    events, reader = read_all(other, chunk_bytes({"content": "x"}, "stop"), other)

    assert outputs(events) == [message(text_part("x"))]
    assert kinds(reader) == ["choice_ignored"]


def test_role_repeated_and_empty_content_in_every_chunk_say_nothing() -> None:
    """OpenRouter, and its further choice chunk with usage behind the finish."""
    again = {"role": "assistant", "content": ""}
    events, reader = read_all(
        chunk_bytes(again),
        chunk_bytes(again | {"content": "x"}),
        chunk_bytes(again, "stop"),
        chunk_bytes(again, usage=USAGE),
    )

    assert outputs(events) == [message(text_part("x"))]
    assert fold(events).usage == normal(USAGE)
    assert reader.anomalies == []


def test_perplexitys_closing_event_says_nothing_twice() -> None:
    whole = {"index": 0, "message": {"role": "assistant", "content": "all of it"}, "delta": {"content": "all of it"}}
    done = orjson.dumps({**HEAD, "object": "chat.completion.done", "choices": [whole | {"finish_reason": "stop"}]})
    events, _ = read_all(chunk_bytes({"content": "all of it"}), done)

    assert outputs(events) == [message(text_part("all of it"))]


@pytest.mark.parametrize("beside", [{}, {"delta": {}}, {"delta": None}])
def test_text_in_the_place_of_a_delta_is_said(beside: dict[str, Any]) -> None:
    """As in the stream of a completion; Together says its text in both places."""
    pieces = [orjson.dumps({**HEAD, "choices": [{"index": 0, "text": text, **beside}]}) for text in ("He", "llo")]
    events, reader = read_all(*pieces, chunk_bytes(finish="stop", choice={"text": ""}))
    both, _ = read_all(chunk_bytes({"content": "He"}, choice={"text": "He"}), chunk_bytes({"content": "llo"}, "stop"))

    assert outputs(events) == outputs(both) == [message(text_part("Hello"))]
    assert reader.anomalies == []


def test_a_plain_reply_as_one_event_is_read() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}
    events, _ = read_all(orjson.dumps({**HEAD, "object": "chat.completion", "choices": [choice]}))

    assert outputs(events) == [message(text_part("whole"))]


# --------------------------------------------------------------------------------------------------------------- usage


def test_the_last_usage_counts_and_null_does_not_unsay_it() -> None:
    more = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
    events, _ = read_all(
        chunk_bytes({"content": "x"}, usage=USAGE),
        chunk_bytes({"content": "x"}, usage=more),
        chunk_bytes({}, "stop", usage=None),
        orjson.dumps({**HEAD, "choices": [], "usage": {"nonsense": True}}),
    )

    assert [event for event in events if isinstance(event, Usage)] == [Usage(normal(more) or {})]


@pytest.mark.parametrize("places", [{"x_groq": {"id": "r", "usage": USAGE}}, {"choice": {"usage": USAGE}}])
def test_usage_that_stands_beside_its_place_in_the_last_chunk_counts(places: dict[str, Any]) -> None:
    """Groq and Moonshot."""
    events, _ = read_all(chunk_bytes({"content": "x"}), chunk_bytes({}, "stop", **places))

    assert fold(events).usage == normal(USAGE)


def test_absent_usage_is_not_made_up() -> None:
    events, _ = read_all(chunk_bytes({"content": "x"}, "stop"))

    assert not any(isinstance(event, Usage) for event in events)


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        (None, {"error": {"message": "maximum context length is 9 tokens", "code": 400}}, "context_length_exceeded"),
        (None, {"error": "no capacity"}, "upstream_error"),
        ("error", {"message": "boom"}, "upstream_error"),
        (None, {"object": "error", "message": "The model `x` does not exist.", "code": 404}, "model_not_found"),
        (None, {"code": "Arrearage", "message": "Access denied", "request_id": "1"}, "insufficient_quota"),
        (None, "not json", "upstream_invalid_event"),
        (None, "[1]", "upstream_invalid_event"),
        (None, "null", "upstream_invalid_event"),
        (None, '{"choices":', "upstream_invalid_event"),
    ],
)
def test_an_error_frame_or_no_event_at_all_fails_with_its_code(name: str | None, data: Any, code: str) -> None:
    play = Playbook(chat.stream_reader(exchange()))
    play >> say({"content": "x"})
    play.unseen = None
    play >> sse(name, data)
    (failed,) = play.unseen or []

    assert isinstance(failed, Failed)
    assert failed.error.code == code
    assert failed.items == [message(text_part("x"), status="incomplete")]


@pytest.mark.parametrize("data", [b'{"error":{"message":"late"}}', b"data: [DON", b"{"])
def test_an_error_or_a_broken_frame_behind_the_finish_is_an_anomaly(data: bytes) -> None:
    events, reader = read_all(chunk_bytes({"content": "x"}, "stop"), data)

    assert events[-1] == Finished("completed")
    assert kinds(reader) == ["error_after_finish"]


def test_error_null_is_none() -> None:
    events, _ = read_all(chunk_bytes({"content": "x"}, "stop", error=None))

    assert events[-1] == Finished("completed")


def test_empty_data_and_pings_say_nothing() -> None:
    reader = chat.stream_reader(exchange())

    assert reader.feed(None, b"") == []
    assert reader.feed("ping", b'{"type":"ping"}') == []
    assert kinds(reader) == ["event_empty"]


# ------------------------------------------------------------------------------------------------- reasoning, refusals


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_reasoning_is_an_item_before_the_message(key: str) -> None:
    events, _ = read_all(chunk_bytes({key: "hm"}), chunk_bytes({"content": "x"}, "stop"))

    assert outputs(events) == [
        {
            "id": "rs_1_0",
            "type": "reasoning",
            "status": "completed",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "hm"}],
        },
        message(text_part("x"), index=1),
    ]


def test_reasoning_is_a_summary_where_one_was_asked_for() -> None:
    asked = exchange(reasoning={"effort": "low", "summary": "auto"})
    events, _ = read_all(chunk_bytes({"reasoning_content": "hm"}), chunk_bytes({}, "stop"), asked=asked)

    (item,) = outputs(events)
    assert item["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert "content" not in item


def test_the_same_reasoning_under_two_names_is_said_once() -> None:
    events, _ = read_all(chunk_bytes({"reasoning_content": "hm", "reasoning": "hm"}), chunk_bytes({}, "stop"))

    assert outputs(events)[0]["content"] == [{"type": "reasoning_text", "text": "hm"}]


def test_reasoning_before_between_and_after_opens_a_new_item_each_time() -> None:
    events, _ = read_all(
        chunk_bytes({"reasoning": "a"}),
        chunk_bytes({"content": "b"}),
        chunk_bytes({"reasoning": "c"}),
        calling(call(0, "1", "f", "{}")),
        chunk_bytes({"reasoning": "d"}),
        chunk_bytes({}, "stop"),
    )

    assert [item["type"] for item in outputs(events)] == [
        "reasoning",
        "message",
        "reasoning",
        "function_call",
        "reasoning",
    ]


def test_think_tags_in_content_are_text() -> None:
    events, _ = read_all(chunk_bytes({"content": "<think>a</think>b"}, "stop"))

    assert outputs(events) == [message(text_part("<think>a</think>b"))]


@pytest.mark.parametrize("thought", ["hm", [{"type": "text", "text": "hm"}]])
def test_mistrals_list_of_thinking_and_text(thought: Any) -> None:
    thinking = {"type": "thinking", "thinking": thought}
    events, _ = read_all(chunk_bytes({"content": [thinking, {"type": "text", "text": "x"}]}, "stop"))

    first, second = outputs(events)
    assert first["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert second["content"] == [text_part("x")]


@pytest.mark.parametrize("content", [["a", {"text": "b"}], {"type": "text", "text": "ab"}, [None, 3, {"text": "ab"}]])
def test_content_as_list_or_object_is_joined(content: Any) -> None:
    events, _ = read_all(chunk_bytes({"content": content}, "stop"))

    assert outputs(events) == [message(text_part("ab"))]


def test_refusal_and_content_are_parts_of_one_message() -> None:
    events, _ = read_all(
        chunk_bytes({"content": "a"}), chunk_bytes({"refusal": "no"}), chunk_bytes({"content": "b"}, "stop")
    )

    assert outputs(events) == [message(text_part("a"), {"type": "refusal", "refusal": "no"}, text_part("b"))]


def test_a_refusal_as_content_part_is_a_refusal() -> None:
    events, _ = read_all(chunk_bytes({"content": [{"type": "refusal", "refusal": "no"}]}, "stop"))

    assert outputs(events) == [message({"type": "refusal", "refusal": "no"})]


def test_text_behind_calls_is_a_new_message() -> None:
    events, _ = read_all(
        chunk_bytes({"content": "a"}), calling(call(0, "1", "f", "{}")), chunk_bytes({"content": "b"}, "tool_calls")
    )

    assert [item["id"] for item in outputs(events)] == ["msg_1_0", "fc_1_1", "msg_1_2"]


# ---------------------------------------------------------------------------------------- annotations, logprobs, halves


def test_annotations_are_flat_and_may_come_before_their_text() -> None:
    nested = {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}
    flat = {"type": "url_citation", "start_index": 0, "end_index": 1, "url": "u", "title": "t"}
    bare = {"type": "url_citation", "url_citation": {"url": "v"}}
    no_url = {"type": "url_citation", "url_citation": {}}
    events, reader = read_all(
        chunk_bytes({"annotations": [nested]}),
        chunk_bytes({"content": "x"}),
        chunk_bytes({"annotations": [bare, {}, no_url]}, "stop"),
    )

    filled = {"type": "url_citation", "start_index": 0, "end_index": 0, "url": "v", "title": ""}
    assert outputs(events)[0]["content"][0]["annotations"] == [flat, filled]
    assert [event for event in events if isinstance(event, Annotated)] == [
        Annotated(0, 0, 0, flat),
        Annotated(0, 0, 1, filled),
    ]
    assert kinds(reader) == ["annotation_unknown"]


def test_annotations_without_any_text_are_an_anomaly() -> None:
    nested = {"type": "url_citation", "url_citation": {"url": "u"}}
    events, reader = read_all(chunk_bytes({"annotations": [nested]}), calling(call(0, "a", "f", "{}")))

    assert outputs(events)[0]["type"] == "function_call"
    assert kinds(reader) == ["finish_inferred", "annotation_without_text"]


def test_logprobs_of_content_and_refusal_get_their_bytes() -> None:
    def entry(token: str, given: Any) -> dict[str, Any]:
        return {"token": token, "logprob": -0.5, "bytes": given, "top_logprobs": [{"token": token, "logprob": -0.5}]}

    def whole(token: str) -> dict[str, Any]:
        top = {"token": token, "logprob": -0.5, "bytes": list(token.encode())}
        return {**top, "top_logprobs": [top]}

    events, _ = read_all(
        chunk_bytes({"content": "\u00e9"}, choice={"logprobs": {"content": [entry("\u00e9", None)], "refusal": None}}),
        chunk_bytes({"content": ""}, choice={"logprobs": {"content": [entry("", [1])]}}),
        chunk_bytes({"refusal": "n"}, "stop", choice={"logprobs": {"content": None, "refusal": [entry("n", [110])]}}),
    )

    text_, refusal = outputs(events)[0]["content"]
    assert text_["logprobs"][0] == whole("\u00e9")
    assert len(text_["logprobs"]) == 2
    assert refusal["logprobs"] == [whole("n")]


def test_an_emoji_cut_between_two_deltas_is_joined() -> None:
    def half(escape: bytes) -> bytes:
        return b'{"id":"chatcmpl-1","created":5,"model":"m","choices":[{"delta":{"content":"' + escape + b'"}}]}'

    events, _ = read_all(half(rb"\ud83d"), half(rb"\ude00"), chunk_bytes({}, "stop"))

    assert [event.text for event in events if isinstance(event, Delta)] == ["\U0001f600"]
    assert outputs(events) == [message(text_part("\U0001f600"))]


def test_half_an_emoji_at_the_end_becomes_the_replacement_character() -> None:
    lone = rb'{"id":"chatcmpl-1","created":5,"model":"m","choices":[{"delta":{"content":"\ud83d"}}]}'
    events, _ = read_all(lone, chunk_bytes({}, "stop"))

    assert outputs(events) == [message(text_part("\ufffd"))]
