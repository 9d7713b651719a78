"""What real and broken Responses upstreams stream, as hub events."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapter.dialects.responses import stream_reader
from adapter.errors import UpstreamError, UpstreamInvalid, UpstreamTimeout, UpstreamTruncated
from adapter.hub.events import (
    Delta,
    DeltaKind,
    Event,
    Failed,
    Finished,
    ItemClosed,
    ItemOpened,
    Opaque,
    PartClosed,
    PartOpened,
    Started,
    Usage,
)
from adapter.hub.fold import fold
from adapter.hub.grammar import check_hub
from adapter.hub.request import Exchange
from adapter.hub.usage import normal
from adapter.upstream.refusals import from_error_object
from tests.playbook import Playbook, broken, chunk, eof, sse

STARTED = Started("resp_1", "m", 7, {})
CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "m", "created_at": 7}}
TEXT: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
MESSAGE = {"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "", "status": "in_progress"}
ARGUMENTS = DeltaKind.ARGUMENTS


def playbook(client: Any = "responses") -> Playbook:
    """A reader that has seen `response.created`."""
    return Playbook(stream_reader(Exchange.unasked(client))) >> chunk(CREATED) << [STARTED]


def event(kind: str, **fields: Any) -> Any:
    return chunk({"type": f"response.{kind}", **fields})


def completed(**response: Any) -> Any:
    return event("completed", response={"id": "resp_1", "status": "completed", **response})


def said(text: str, index: int = 0, **item: Any) -> list[Event]:
    part = {**TEXT, "text": text}
    return [
        PartClosed(index, 0, part),
        ItemClosed(index, {**MESSAGE, "status": "completed", "content": [part], **item}),
    ]


def test_deltas_and_nothing_else() -> None:
    """The documentation of several resellers shows exactly this."""
    reader = stream_reader(Exchange.unasked("responses"))
    message = {**MESSAGE, "id": "msg_0_0"}
    play = Playbook(reader)
    (
        play
        >> event("output_text.delta", delta="He")
        << [
            Started("resp_0", "", 0),
            ItemOpened(0, message),
            PartOpened(0, 0, TEXT),
            Delta(0, 0, DeltaKind.TEXT, "He"),
        ]
    )
    play >> event("output_text.delta", delta="y") << [Delta(0, 0, DeltaKind.TEXT, "y")]
    play >> completed() << [*said("Hey", id="msg_0_0"), Finished("completed")]
    assert {anomaly.kind for anomaly in reader.anomalies} == {"created_missing", "item_implied"}


def test_ids_that_change_in_every_event() -> None:
    """GitHub Copilot: only output_index can be trusted."""
    play = playbook() >> event("output_item.added", output_index=0, item=MESSAGE) << [ItemOpened(0, MESSAGE)]
    at = {"output_index": 0, "content_index": 0}
    play >> event("content_part.added", item_id="x1", part=TEXT, **at) << [PartOpened(0, 0, TEXT)]
    play >> event("output_text.delta", item_id="x2", delta="a", **at) << [Delta(0, 0, DeltaKind.TEXT, "a")]
    play >> event("output_text.delta", item_id="x3", delta="b", **at) << [Delta(0, 0, DeltaKind.TEXT, "b")]
    done = {**MESSAGE, "id": "x4", "status": "completed", "content": [{**TEXT, "text": "ab"}]}
    play >> event("output_item.done", output_index=0, item=done) << said("ab")
    play >> completed(id="resp_9", output=[{**done, "id": "x5"}]) << [Finished("completed")]


def test_no_indices_at_all() -> None:
    """llama.cpp: item ids only, and no arguments.done."""
    play = playbook() >> event("output_item.added", item=CALL) << [ItemOpened(0, CALL)]
    play >> event("function_call_arguments.delta", item_id="fc_1", delta="{}") << [Delta(0, -1, ARGUMENTS, "{}")]
    done = {**CALL, "arguments": "{}", "status": "completed"}
    play >> event("output_item.done", item=done) << [ItemClosed(0, done)]
    play >> completed() << [Finished("completed")]


def test_arguments_that_come_before_the_name_wait_for_it() -> None:
    play = playbook() >> event("function_call_arguments.delta", output_index=0, delta='{"a"') << []
    play >> event("function_call_arguments.delta", output_index=0, delta=":1}") << []
    (
        play
        >> event("output_item.added", output_index=0, item=CALL)
        << [
            ItemOpened(0, CALL),
            Delta(0, -1, ARGUMENTS, '{"a":1}'),
        ]
    )


def test_a_call_that_never_gets_a_name_is_no_answer() -> None:
    play = playbook() >> event("function_call_arguments.delta", output_index=0, delta="{}") << []
    play >> completed() << [Failed(UpstreamInvalid(""))]


def test_arguments_that_come_only_in_completed() -> None:
    whole = {**CALL, "arguments": "{}", "status": "completed"}
    play = playbook() >> event("output_item.added", output_index=0, item=CALL) << [ItemOpened(0, CALL)]
    play >> completed(output=[whole]) << [Delta(0, -1, ARGUMENTS, "{}"), ItemClosed(0, whole), Finished("completed")]


def test_items_that_were_never_streamed() -> None:
    whole = {**CALL, "arguments": "{}", "status": "completed"}
    play = playbook() >> completed(output=[whole])
    play << [ItemOpened(0, CALL), Delta(0, -1, ARGUMENTS, "{}"), ItemClosed(0, whole), Finished("completed")]


def output_of(*events: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of a whole answer."""
    reader = stream_reader(Exchange.unasked("responses"))
    return fold(found for one in events for found in reader.feed(None, orjson.dumps(one))).output


WHOLE = {**CALL, "arguments": "{}", "status": "completed"}


@pytest.mark.parametrize(
    "behind",
    [
        {"type": "response.output_item.done", "output_index": 0, "item": WHOLE},
        {"type": "response.reasoning_text.delta", "output_index": 1, "delta": "hm"},
    ],
)
def test_a_call_that_had_its_name_before_its_ids_is_the_one_that_completed_repeats(behind: dict[str, Any]) -> None:
    """A client that gets it twice runs it twice."""
    items = output_of(
        {"type": "response.function_call_arguments.done", "output_index": 0, "name": "f", "arguments": "{}"},
        behind,
        {"type": "response.completed", "response": {"status": "completed", "output": [WHOLE]}},
    )

    assert [item["arguments"] for item in items if item["type"] == "function_call"] == ["{}"]


def test_a_call_id_over_64_characters_is_known_again_where_item_ids_change() -> None:
    whole = {**CALL, "call_id": "c" * 80, "arguments": "{}", "status": "completed"}
    (call,) = output_of(
        {"type": "response.output_item.added", "output_index": 0, "item": {**whole, "id": "fc_a", "arguments": ""}},
        {"type": "response.output_item.done", "output_index": 0, "item": {**whole, "id": "fc_b"}},
        {"type": "response.completed", "response": {"status": "completed", "output": [whole]}},
    )

    assert len(call["call_id"]) <= 64


def test_empty_arguments_become_an_empty_object() -> None:
    play = playbook() >> event("output_item.added", output_index=0, item=CALL) << [ItemOpened(0, CALL)]
    whole = {**CALL, "status": "completed"}
    (
        play
        >> event("output_item.done", output_index=0, item=whole)
        << [
            Delta(0, -1, ARGUMENTS, "{}"),
            ItemClosed(0, {**whole, "arguments": "{}"}),
        ]
    )


def test_a_done_text_gives_the_missing_rest_and_is_not_believed_where_it_contradicts() -> None:
    play = playbook() >> event("output_item.added", output_index=0, item=MESSAGE) << [ItemOpened(0, MESSAGE)]
    (
        play
        >> event("output_text.delta", output_index=0, delta="He")
        << [
            PartOpened(0, 0, TEXT),
            Delta(0, 0, DeltaKind.TEXT, "He"),
        ]
    )
    play >> event("output_text.done", output_index=0, text="Hey") << [Delta(0, 0, DeltaKind.TEXT, "y")]
    play >> event("content_part.done", output_index=0, part={**TEXT, "text": "Ho"}) << []
    play >> event("in_progress") << [PartClosed(0, 0, {**TEXT, "text": "Hey"})]
    assert [anomaly.kind for anomaly in play.reader.anomalies] == ["text_mismatch"]


def test_an_index_used_twice_is_another_item() -> None:
    """transformers numbers its items 1, 2, 2."""
    done = {**CALL, "arguments": "{}", "status": "completed"}
    play = playbook() >> event("output_item.done", output_index=2, item=done)
    play << [ItemOpened(0, CALL), Delta(0, -1, ARGUMENTS, "{}"), ItemClosed(0, done)]
    play >> event("output_item.added", output_index=2, item=MESSAGE) << [ItemOpened(1, MESSAGE)]
    (
        play
        >> event("output_item.done", output_index=2, item=MESSAGE)
        << [ItemClosed(1, {**MESSAGE, "status": "completed"})]
    )
    play >> event("output_item.added", output_index=2, item={**MESSAGE, "id": "msg_2"})
    play << [ItemOpened(2, {**MESSAGE, "id": "msg_2"})]


def test_calls_side_by_side_under_one_index_are_told_apart_by_their_ids() -> None:
    calls = [{**CALL, "id": f"fc_{name}", "call_id": name, "name": name} for name in "fg"]
    play = playbook()
    for number, call in enumerate(calls):
        play >> event("output_item.added", output_index=0, item=call) << [ItemOpened(number, call)]
    for delta in ('{"n', '":1}'):
        for number, call in enumerate(calls):
            play >> event("function_call_arguments.delta", output_index=0, item_id=call["id"], delta=delta)
            play << [Delta(number, -1, ARGUMENTS, delta)]
    for number, call in enumerate(calls):
        done = {**call, "arguments": '{"n":1}', "status": "completed"}
        play >> event("output_item.done", output_index=0, item=done) << [ItemClosed(number, done)]
    assert play.reader.anomalies == []


def test_half_an_emoji_waits_for_its_other_half() -> None:
    at = b'{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":'
    play = playbook() >> event("output_item.added", output_index=0, item=MESSAGE) << [ItemOpened(0, MESSAGE)]
    play >> chunk(at + b'"a"}') << [PartOpened(0, 0, TEXT), Delta(0, 0, DeltaKind.TEXT, "a")]
    play >> chunk(at + b'"b\\ud83d"}') << [Delta(0, 0, DeltaKind.TEXT, "b")]
    play >> chunk(at + b'"\\ude00"}') << [Delta(0, 0, DeltaKind.TEXT, "\U0001f600")]


@pytest.mark.parametrize("last", [event("output_text.done", output_index=0, text="a"), completed()])
def test_half_an_emoji_at_the_end_of_its_text_is_one_replacement(last: Any) -> None:
    half = b'{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"a\\ud83d"}'
    play = playbook() >> event("output_item.added", output_index=0, item=MESSAGE) << [ItemOpened(0, MESSAGE)]
    play >> chunk(half) << [PartOpened(0, 0, TEXT), Delta(0, 0, DeltaKind.TEXT, "a")]
    play >> last
    assert play.unseen is not None
    assert play.unseen[0] == Delta(0, 0, DeltaKind.TEXT, "\ufffd")


@pytest.mark.parametrize(
    "other",
    [
        event("output_text.done", output_index=0, content_index=1, text="X"),
        event("output_text.annotation.added", output_index=0, content_index=1, annotation={"type": "file_path"}),
        event("refusal.done", output_index=0, content_index=0, refusal="No."),
        event("function_call_arguments.done", output_index=1, name="f", call_id="c", arguments="{}"),
    ],
    ids=["text", "annotation", "refusal", "call"],
)
def test_a_text_that_closed_where_another_began_unannounced_grows_no_more(other: Any) -> None:
    delta = event("output_text.delta", output_index=0, content_index=0, delta="a")
    reader = stream_reader(Exchange.unasked("responses"))
    events = [found for given in (chunk(CREATED), delta, delta, other, delta, completed()) for found in given(reader)]
    assert check_hub(events) == []
    assert fold(events).output[0]["content"][0]["text"] == "aa"


def test_an_item_that_a_delta_opened_ends_where_the_next_one_begins() -> None:
    thought = {"type": "reasoning", "id": "rs_1_0", "summary": []}
    part = {"type": "reasoning_text", "text": ""}
    play = playbook() >> event("reasoning_text.delta", delta="hm")
    play << [ItemOpened(0, thought), PartOpened(0, 0, part), Delta(0, 0, DeltaKind.REASONING, "hm")]
    said = {**part, "text": "hm"}
    message = {**MESSAGE, "id": "msg_1_1"}
    play >> event("output_text.delta", delta="Hi")
    play << [
        PartClosed(0, 0, said),
        ItemClosed(0, {**thought, "content": [said]}),
        ItemOpened(1, message),
        PartOpened(1, 0, TEXT),
        Delta(1, 0, DeltaKind.TEXT, "Hi"),
    ]


def test_a_thought_whose_server_says_neither_summary_nor_status_has_them() -> None:
    """vLLM writes null for what it does not know."""
    given = {"type": "reasoning", "id": "rs_1", "status": None}
    whole = {**given, "status": "completed", "summary": []}
    play = playbook() >> event("output_item.done", output_index=0, item=given)
    play << [ItemOpened(0, {**whole, "status": "in_progress"}), ItemClosed(0, whole)]


def test_a_call_that_was_cut_off_before_its_arguments_has_none() -> None:
    play = playbook() >> event("output_item.added", output_index=0, item=CALL) << [ItemOpened(0, CALL)]
    play >> event("incomplete", response={"incomplete_details": {"reason": "max_output_tokens"}})
    play << [ItemClosed(0, {**CALL, "status": "incomplete"}), Finished("incomplete", "max_output_tokens")]


def test_arguments_that_come_in_one_piece_are_told_before_their_call_is_done() -> None:
    """LM Studio and Ollama stream no deltas of them."""
    play = playbook() >> event("output_item.added", output_index=0, item=CALL) << [ItemOpened(0, CALL)]
    play >> event("function_call_arguments.done", output_index=0, arguments="{}") << [Delta(0, -1, ARGUMENTS, "{}")]


def test_a_call_that_only_the_final_output_names_is_that_one() -> None:
    (call,) = output_of(
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{}"},
        {"type": "response.completed", "response": {"status": "completed", "output": [WHOLE]}},
    )

    assert (call["name"], call["arguments"], call["call_id"]) == ("f", "{}", "c")


def test_an_image_comes_once_with_its_item_done() -> None:
    given = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AAAA"}
    play = playbook() >> event("output_item.done", output_index=0, item=given)
    play << [ItemOpened(0, {**given, "status": "in_progress", "result": None}), ItemClosed(0, given)]


def test_a_part_that_was_done_when_the_answer_failed_is_told_so() -> None:
    play = playbook() >> event("output_item.added", output_index=0, item=MESSAGE) << [ItemOpened(0, MESSAGE)]
    whole = {**TEXT, "text": "Hi"}
    play >> event("content_part.done", output_index=0, content_index=0, part=whole)
    play << [PartOpened(0, 0, TEXT), Delta(0, 0, DeltaKind.TEXT, "Hi")]
    failed = Failed(UpstreamTimeout(""), [{**MESSAGE, "status": "incomplete", "content": [whole]}])
    play >> broken(UpstreamTimeout("")) << [PartClosed(0, 0, whole), failed]


def test_a_part_without_a_text_is_none() -> None:
    play = playbook() >> event("output_item.added", output_index=0, item=MESSAGE) << [ItemOpened(0, MESSAGE)]
    play >> event("content_part.added", output_index=0, content_index=0, part={"type": "output_audio"}) << []
    play >> completed() << [ItemClosed(0, {**MESSAGE, "status": "completed"}), Finished("completed")]
    assert [anomaly.kind for anomaly in play.reader.anomalies] == ["part_unknown"]


@pytest.mark.parametrize("kind", ["x:y\n\ndata: {}", "response.mcp_call.a\nb", "x:\u00e9"])
def test_a_type_that_could_not_stand_in_an_event_line_is_no_extension(kind: str) -> None:
    play = playbook() >> chunk({"type": kind}) << []
    assert [anomaly.kind for anomaly in play.reader.anomalies] == ["event_unknown"]


def test_an_incomplete_answer_closes_what_is_open_as_incomplete() -> None:
    play = playbook() >> event("output_item.added", output_index=0, item=CALL) << [ItemOpened(0, CALL)]
    play >> event("function_call_arguments.delta", output_index=0, delta='{"a') << [Delta(0, -1, ARGUMENTS, '{"a')]
    end = event("incomplete", response={"incomplete_details": {"reason": "max_tokens"}, "usage": {"input_tokens": 1}})
    usage = {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1,
    }
    (
        play
        >> end
        << [
            ItemClosed(0, {**CALL, "arguments": '{"a', "status": "incomplete"}),
            Usage(usage),
            Finished("incomplete", "max_output_tokens"),
        ]
    )


@pytest.mark.parametrize(
    ("item", "status"),
    [
        ({"type": "web_search_call", "id": "ws_1", "status": "searching", "action": {"type": "search"}}, "failed"),
        ({"type": "image_generation_call", "id": "ig_1", "status": "generating", "result": None}, "failed"),
        ({"type": "code_interpreter_call", "id": "ci_1", "status": "interpreting", "code": "1"}, "incomplete"),
    ],
)
def test_a_hosted_tool_that_an_incomplete_answer_leaves_open_ends_in_a_status_that_it_can_have(
    item: dict[str, Any], status: str
) -> None:
    opened = {**item, "status": "in_progress"}
    play = playbook() >> event("output_item.added", output_index=0, item=item) << [ItemOpened(0, opened)]
    end = event("incomplete", response={"incomplete_details": {"reason": "max_output_tokens"}})

    play >> end << [ItemClosed(0, {**opened, "status": status}), Finished("incomplete", "max_output_tokens")]


def test_an_item_done_as_incomplete_was_complete_when_another_follows() -> None:
    play = playbook() >> event("output_item.added", output_index=0, item=MESSAGE) << [ItemOpened(0, MESSAGE)]
    play >> event("output_item.done", output_index=0, item={**MESSAGE, "status": "incomplete"}) << []
    (
        play
        >> event("output_item.added", output_index=1, item=CALL)
        << [
            ItemClosed(0, {**MESSAGE, "status": "completed"}),
            ItemOpened(1, CALL),
        ]
    )


def test_error_then_failed_is_one_failure_and_open_calls_stay_open() -> None:
    error = {"code": "rate_limit_exceeded", "message": "slow down"}
    play = playbook() >> event("output_item.added", output_index=0, item=CALL) << [ItemOpened(0, CALL)]
    play >> chunk({"type": "error", "error": error}) << []
    (
        play
        >> event("failed", response={"status": "failed", "error": error})
        << [Failed(from_error_object(error), [{**CALL, "status": "incomplete"}])]
    )
    play >> eof() << []
    assert play.reader.ended


def test_the_usage_of_a_failed_behind_an_error_counts() -> None:
    error = {"code": "rate_limit_exceeded", "message": "slow down"}
    play = playbook() >> chunk({"type": "error", "error": error}) << []
    assert play.reader.settling
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    (
        play
        >> event("failed", response={"status": "failed", "error": {"message": "other"}, "usage": usage})
        << [
            Usage(normal(usage) or {}),
            Failed(from_error_object(error)),
        ]
    )


def test_behind_an_error_comes_the_failure_whatever_else_comes() -> None:
    error = {"code": "rate_limit_exceeded", "message": "slow down"}
    failed = [Failed(from_error_object(error))]
    for last in (eof(), broken(UpstreamTimeout("")), event("output_item.added", output_index=0, item=CALL)):
        playbook() >> chunk({"type": "error", "error": error}) << [] >> last << failed


def test_a_flat_error_and_a_failed_alone() -> None:
    error = {"code": "context_length_exceeded", "message": "too long"}
    playbook() >> chunk({"type": "error", **error}) << [] >> eof() << [Failed(from_error_object(error))]
    playbook() >> event("failed", response={"error": error}) << [Failed(from_error_object(error))]
    playbook() >> event("cancelled", response={}) << [Failed(UpstreamError(""))]


@pytest.mark.parametrize("metadata", [{}, {"of": "response.created"}, {"of": '"response.created"'}])
@pytest.mark.parametrize("numbers", [(None, None), (0, 1), (0, 0), (1, 2)])
@pytest.mark.parametrize("number_first", [True, False])
@pytest.mark.parametrize("client", ["chat", "responses"])
def test_an_in_progress_that_repeats_created_says_no_more_than_one_that_is_spelled_otherwise(
    metadata: dict[str, str], numbers: tuple[int | None, int | None], number_first: bool, client: Any
) -> None:
    def lines(space: str) -> list[tuple[str, bytes]]:
        spelled = []
        for name, number in zip(("response.created", "response.in_progress"), numbers, strict=True):
            numbered = {} if number is None else {"sequence_number": number}
            rest = {"response": {"id": "resp_1", "model": "m", "metadata": metadata}}
            said = {"type": name, **(numbered | rest if number_first else rest | numbered)}
            spelled.append((name, orjson.dumps(said) + space.encode()))
        return spelled

    def read(opening: list[tuple[str, bytes]]) -> list[Event]:
        reader = stream_reader(Exchange.unasked(client))
        delta = ("response.output_text.delta", orjson.dumps({"type": "response.output_text.delta", "delta": "Hi"}))
        events = [event for line in (*opening, delta, *opening) for event in reader.feed(*line)]
        return [*events, *reader.close()]

    repeated, spelled_otherwise = read(lines("")), read(lines(" "))
    assert repeated[:-1] == spelled_otherwise[:-1]
    assert [type(event) for event in repeated] == [Started, ItemOpened, PartOpened, Delta, Failed]


def test_an_error_before_anything_else_starts_nothing() -> None:
    play = Playbook(stream_reader(Exchange.unasked("responses")))
    (
        play
        >> sse("error", {"message": "no", "code": "server_error"})
        << [Failed(from_error_object({"message": "no", "code": "server_error"}))]
    )


def test_a_stream_that_just_ends_has_failed() -> None:
    playbook() >> eof() << [Failed(UpstreamTruncated(""))]
    playbook() >> chunk("[DONE]") << [] >> eof() << [Failed(UpstreamTruncated(""))]
    playbook() >> broken(UpstreamTimeout("")) << [Failed(UpstreamTimeout(""))]
    playbook() >> chunk("data") << [Failed(UpstreamInvalid("", code="upstream_invalid_event"))]
    playbook() >> chunk([1]) << [Failed(UpstreamInvalid("", code="upstream_invalid_event"))]


DONE_MESSAGE = {**MESSAGE, "status": "completed", "content": [{**TEXT, "text": "Hi"}]}
DELTA = {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Hi"}
ITEM_DONE = {"type": "response.output_item.done", "item": DONE_MESSAGE}
CUT = {"type": "response.output_item.done", "item": {**DONE_MESSAGE, "status": "incomplete"}}
ARGUMENT = {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": "{"}


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ([DELTA, ITEM_DONE], "completed"),
        ([ITEM_DONE, {"trace_id": "tr-1"}], "completed"),
        ([DELTA, CUT], "incomplete"),
        ([DELTA], "failed"),
        ([ITEM_DONE, {**DELTA, "item_id": "msg_2"}], "failed"),
        ([ITEM_DONE, ARGUMENT], "failed"),
        ([ITEM_DONE, {"type": "response.error", "message": "boom"}], "failed"),
        ([ITEM_DONE, {"error": "boom"}], "failed"),
        ([CREATED, DELTA, ITEM_DONE], "failed"),
        ([], "failed"),
    ],
)
def test_done_ends_what_never_said_that_it_began_where_all_its_items_are_done(said: list[Any], status: str) -> None:
    """MLflow's agents (Databricks) send deltas, items that are done, and `[DONE]`."""
    reader = stream_reader(Exchange.unasked("responses"))
    events = [event for data in said for event in reader.feed(None, orjson.dumps(data))]
    events += reader.feed(None, b"[DONE]") + reader.close()
    assert check_hub(events) == []
    assert fold(events).status == status


def test_more_text_behind_the_end_of_a_part_is_a_part_of_its_own() -> None:
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {**TEXT, "text": "Hi"}
    play = playbook() >> event("output_item.added", output_index=0, item=MESSAGE) << [ItemOpened(0, MESSAGE)]
    play >> event("output_text.delta", **at, delta="Hi") << [PartOpened(0, 0, TEXT), Delta(0, 0, DeltaKind.TEXT, "Hi")]
    play >> event("content_part.done", **at, part=part) << []
    more = [PartClosed(0, 0, part), PartOpened(0, 1, TEXT), Delta(0, 1, DeltaKind.TEXT, " you")]
    play >> event("output_text.delta", **at, delta=" you") << more
    play >> event("output_text.delta", **at, delta=".") << [Delta(0, 1, DeltaKind.TEXT, ".")]
    assert [anomaly.kind for anomaly in play.reader.anomalies] == ["event_after_done"]


def test_reasoning_parts_in_events_of_their_own() -> None:
    """As vLLM sends them."""
    item = {"type": "reasoning", "id": "msg_1", "summary": []}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "reasoning_text", "text": "Hm"}
    play = playbook() >> event("output_item.added", output_index=0, item=item) << [ItemOpened(0, item)]
    play >> event("reasoning_part.added", **at, part={**part, "text": ""}) << [PartOpened(0, 0, {**part, "text": ""})]
    play >> event("reasoning_text.delta", **at, delta="Hm") << [Delta(0, 0, DeltaKind.REASONING, "Hm")]
    play >> event("reasoning_part.done", **at, part=part) << []
    whole = {**item, "content": [part]}
    play >> event("output_item.done", output_index=0, item=whole) << [PartClosed(0, 0, part), ItemClosed(0, whole)]
    assert play.reader.anomalies == []


def test_hosted_tools_ride_through_to_clients_of_the_same_dialect_only() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "in_progress", "action": {"type": "search"}}
    progress = {"type": "response.web_search_call.searching", "output_index": 4, "item_id": "ws_1"}
    for client, passed in (("responses", [Opaque({**progress, "output_index": 0})]), ("chat", [])):
        play = playbook(client) >> event("output_item.added", output_index=4, item=search) << [ItemOpened(0, search)]
        play >> chunk(progress) << passed
        play >> chunk({**progress, "output_index": 9, "item_id": "other"}) << []


def test_a_tool_that_the_api_did_not_have_yet_tells_of_its_progress() -> None:
    """Only events that begin as the type of their open item do: what tells of the whole stream, or of nothing, stays here."""

    item = {"type": "hologram_call", "id": "hg_1", "status": "in_progress"}
    progress = {"type": "response.hologram_call.beaming", "output_index": 1, "item_id": "hg_1", "beam": "x"}
    play = playbook() >> event("output_item.added", output_index=0, item=MESSAGE) << [ItemOpened(0, MESSAGE)]
    play >> event("output_item.added", output_index=1, item=item) << [ItemOpened(1, item)]
    play >> chunk(progress) << [Opaque(progress)]
    for kind, index in (("response.other_call.beaming", 1), ("response.message.shown", 0), ("response.hologram", None)):
        play >> chunk({"type": kind, "output_index": index}) << []
    assert {anomaly.kind for anomaly in play.reader.anomalies} == {"event_unknown"}


def test_a_compaction_tells_clients_of_the_same_dialect_that_it_compacts() -> None:
    """The API has that event since its SDK of November 2026 (openai-python 3.57)."""

    item = {"type": "compaction", "id": "cmp_1", "encrypted_content": ""}
    progress = {"type": "response.compaction.compacting", "output_index": 2, "item_id": "cmp_1"}
    for client, passed in (("responses", [Opaque({**progress, "output_index": 0})]), ("chat", [])):
        play = playbook(client) >> event("output_item.added", output_index=2, item=item) << [ItemOpened(0, item)]
        play >> chunk(progress) << passed


def test_events_of_a_shell_call_say_its_place_and_not_its_id() -> None:
    item = {"type": "shell_call", "id": "sh_1", "status": "in_progress", "action": {"commands": []}}
    command = {"type": "response.shell_call_command.delta", "output_index": 3, "command_index": 0, "delta": "ls"}
    play = playbook() >> event("output_item.added", output_index=3, item=item) << [ItemOpened(0, item)]
    play >> chunk(command) << [Opaque({**command, "output_index": 0})]


def test_a_call_id_over_64_characters_is_hashed() -> None:
    play = playbook()
    play >> event("output_item.added", output_index=0, item={**CALL, "call_id": "c" * 80})
    assert play.unseen is not None
    opened = play.unseen[0]
    assert isinstance(opened, ItemOpened)
    assert len(opened.item["call_id"]) <= 64


def test_the_terminal_event_tells_only_what_has_changed() -> None:
    reader = stream_reader(Exchange.unasked("responses"))
    begun = {"id": "resp_1", "model": "m", "created_at": 7.5, "service_tier": "auto", "store": True}
    play = Playbook(reader) >> event("created", response=begun)
    play << [Started("resp_1", "m", 7, {"service_tier": "auto", "store": True})]
    play >> completed(service_tier="default", store=True, completed_at=9)
    play << [Finished("completed", None, {"service_tier": "default", "completed_at": 9})]
