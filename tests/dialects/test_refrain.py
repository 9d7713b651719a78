"""A stream whose text events are taken apart by comparing bytes says what one says of which every event is parsed."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter import translate
from adapter.dialects.base import StreamWriter
from adapter.dialects.chat.answer.sole_text import sole_text
from adapter.dialects.intake import Intake
from adapter.dialects.refrain import Refrain
from adapter.dialects.registry import DIALECTS
from adapter.hub.events import (
    NO_PART,
    Delta,
    DeltaKind,
    Deltas,
    Event,
    Failed,
    ItemOpened,
    PartOpened,
    Started,
    singly,
)
from adapter.hub.request import ClientTraits, DialectName, Exchange
from adapter.wire.sse import framed

texts = st.sampled_from(
    [
        *(
            "a",
            "b",
            "model",
            "error",
            "",
            '"',
            '",',
            '","',
            "\\",
            '\\"',
            "\n",
            "é",
            "😀",
            "\ud83d",
            "\ude00",
            "\x00probe",
        ),
        *('{"x":1}', "%d", "[DONE]", "7", "a" * 40, "\n\ndata: [DONE]\n\n"),
    ]
)
usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def odd(keys: list[str], values: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mostly nothing, else one key that nobody expects there."""
    return st.just({}) | st.just({}) | st.dictionaries(st.sampled_from(keys), st.sampled_from(values), max_size=1)


def dumped(event: dict[str, Any], ascii_only: bool, tight: bool) -> bytes:
    separators = (",", ":") if tight else (", ", ": ")
    return json.dumps(event, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "replace")


# ---------------------------------------------------------------------------------------------------------------- chat

ODD_VALUES: list[Any] = [
    None,
    0,
    1,
    "stop",
    "a",
    "x9",
    [],
    {},
    {"content": "a"},
    {"role": "assistant", "content": "b"},
    usage,
]


def chunk(said: str, text: str, fields: dict[str, Any], choice: dict[str, Any], ascii_only: bool, tight: bool) -> bytes:
    delta: dict[str, Any] = {said: text}
    if said == "arguments":
        delta = {"tool_calls": [{"index": 0, "function": delta}]}
    choices = [{"index": 0, "delta": delta, "finish_reason": None, **choice}]
    body = {"id": "a", "object": "chat.completion.chunk", "model": "100 %d", "choices": choices, **fields}
    return dumped(body, ascii_only, tight)


said_in = st.sampled_from(["content", "content", "content", "reasoning_content", "reasoning", "arguments", "refusal"])
plain_chunks = st.builds(chunk, st.just("content"), texts, st.just({}), st.just({}), st.just(True), st.just(True))
noisy_chunks = st.builds(
    chunk,
    st.just("content"),
    texts,
    st.builds(lambda noise: {"obfuscation": noise}, st.sampled_from(["", "x9", "aBc", "a b", '"', "\\"])),
    st.just({}),
    st.just(True),
    st.just(True),
)
chunks = st.builds(
    chunk,
    said_in,
    texts,
    odd(["created", "usage", "error", "object", "obfuscation", "sequence_number", "choices"], ODD_VALUES),
    odd(["index", "finish_reason", "logprobs", "message", "content", "delta"], ODD_VALUES),
    st.booleans(),
    st.booleans(),
)
call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
other_chunks = st.sampled_from(
    [
        orjson.dumps({"id": "a", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}),
        orjson.dumps({"id": "a", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}),
        orjson.dumps({"id": "a", "choices": [], "usage": usage}),
        b"[DONE]",
        b"",
        b"not json",
    ]
)

# ----------------------------------------------------------------------------------------------------------- responses


def delta(
    kind: str, text: str, number: int, more: dict[str, Any], number_first: bool, ascii_only: bool, tight: bool
) -> bytes:
    place = {"output_index": 0, "item_id": "100 %d", "content_index": 0, "delta": text, "logprobs": [], **more}
    numbers = {"sequence_number": number}
    event = {"type": f"response.{kind}.delta", **numbers, **place} if number_first else {**place, **numbers}
    return dumped({"type": f"response.{kind}.delta", **event}, ascii_only, tight)


kinds = st.sampled_from(
    ["output_text", "output_text", "output_text", "refusal", "reasoning_text", "function_call_arguments"]
)
deltas = st.builds(
    delta,
    kinds,
    texts,
    st.integers(0, 12),
    odd(["logprobs", "obfuscation", "item_id", "output_index", "sequence_number", "error", "response"], ODD_VALUES),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
other_events = st.sampled_from(
    [
        orjson.dumps({"type": "response.created", "response": {"id": "resp_1"}}),
        orjson.dumps({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}}),
        orjson.dumps({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "a"}),
        orjson.dumps({"type": "response.completed", "response": {"id": "resp_1", "status": "completed"}}),
        b"[DONE]",
        b"",
        b"not json",
    ]
)


@st.composite
def runs(draw: st.DrawFn) -> list[bytes]:
    """Deltas as an honest server counts them."""
    kind, number, first, noisy = draw(kinds), draw(st.integers(0, 9)), draw(st.booleans()), draw(st.booleans())
    return [
        delta(
            kind, text, n, {"obfuscation": draw(st.sampled_from(["x9", "", "A"]))} if noisy else {}, first, True, True
        )
        for n, text in enumerate(draw(st.lists(texts, max_size=8)), number)
    ]


# -------------------------------------------------------------------------------------------------------------- streams


def broken(data: bytes, at: int, piece: bytes) -> bytes:
    return data[: at % (len(data) + 1)] + piece + data[at % (len(data) + 1) :]


PIECES = st.sampled_from([b'"', b"\\", b",", b"}", b"\x00", b'","content":"z', b"\n", b"\r", b"\xff", b'"x":1,'])
FRAMES = st.sampled_from(
    [b"data: %b\n\n"] * 8 + [b"data:%b\n\n", b"data: %b\r\n\r\n", b": c\n\ndata: %b\n\n", b"id: 1\ndata: %b\n\n"]
)


def streams(honest: st.SearchStrategy[list[bytes]], odd_ones: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    odd_ones |= st.builds(broken, odd_ones, st.integers(0, 300), PIECES)
    data = st.lists(honest | honest | st.lists(odd_ones, max_size=3), max_size=6)

    @st.composite
    def made(draw: st.DrawFn) -> bytes:
        named = draw(st.booleans())
        out = []
        for one in [event for run in draw(data) for event in run]:
            frame = draw(FRAMES)
            kind = (
                orjson.loads(one).get("type")
                if named and one[:7] == b'{"type"' and one[-1:] == b"}" and _sound(one)
                else None
            )
            out.append(frame.replace(b"%b", one) if not isinstance(kind, str) else framed(kind, one))
        return b"".join(out)

    return made()


def _sound(data: bytes) -> bool:
    try:
        return isinstance(orjson.loads(data), dict)
    except orjson.JSONDecodeError:
        return False


STREAMS: dict[DialectName, st.SearchStrategy[bytes]] = {
    "chat": streams(st.lists(plain_chunks, max_size=8) | st.lists(noisy_chunks, max_size=8), chunks | other_chunks),
    "responses": streams(runs(), deltas | other_events),
}


def cut(stream: bytes, cuts: tuple[bool, list[int]]) -> list[bytes]:
    apart, anywhere = cuts
    ends = [at.end() for at in re.finditer(b"\n\n", stream)] if apart else []
    points = sorted({0, len(stream), *ends, *(at % (len(stream) + 1) for at in anywhere)})
    return [stream[a:b] for a, b in pairwise(points)]


CUTS = st.tuples(st.booleans(), st.lists(st.integers(0, 5000), max_size=8))
"""Behind every event, or not, and anywhere."""
LAWS = settings(max_examples=400, deadline=None)


NAMED_END = re.compile(rb'\{"id":[^{}]*(?="choices":\[\{"index":0,"delta":\{\})')
"""What a made-up last chunk says of its answer."""


def read(source: DialectName, parts: list[bytes]) -> Any:
    """Everything that comes out of one stream, on every way."""
    target: DialectName = "responses" if source == "chat" else "chat"
    exchange = Exchange.unasked(target)
    intake = Intake(DIALECTS[source], exchange)
    events = [event for part in parts for event in singly(intake.feed(part))]
    events += singly(intake.close())
    out = [b"".join(translate.stream(parts, source, one)) for one in ("chat", "responses")]
    raw = DIALECTS[source].raw_stream(Exchange.unasked(source))
    passed = [*(raw.feed(part) for part in parts), raw.close()]
    if source == "chat":  # a text that is a mark lets its chunk be looked at, and its id and model be known, by chance
        raw.answer.id, raw.answer.model, raw.answer.created_at = "", "", 0
        passed = [NAMED_END.sub(b"{", part) for part in passed]
    return repr((events, intake.anomalies, out, passed, raw.answer, raw.anomalies))


@pytest.mark.parametrize("source", STREAMS)
@LAWS
@given(st.data())
def test_refrain_changes_nothing(source: DialectName, data: st.DataObject) -> None:
    parts = cut(data.draw(STREAMS[source]), data.draw(CUTS))
    short = read(source, parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Refrain, "_take", lambda *_: None)  # nothing is ever learned
        assert short == read(source, parts)


@pytest.mark.parametrize("source", STREAMS)
@LAWS
@given(st.data())
def test_texts_cut_out_of_their_lines_are_those_whose_ends_are_looked_for(
    source: DialectName, data: st.DataObject
) -> None:
    parts = cut(data.draw(STREAMS[source]), data.draw(CUTS))
    at_once = read(source, parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Refrain, "run", lambda *_: None)
        assert at_once == read(source, parts)


# ------------------------------------------------------------------------------------------------------------- examples


def simple(text: str, **fields: Any) -> bytes:
    return chunk("content", text, fields, {}, True, True)


def taught(data: bytes) -> Refrain:
    refrain = Refrain()
    refrain.learn(None, data, sole_text(orjson.loads(data)), sole_text)
    return refrain


def test_refrain_is_learned_from_the_first_text() -> None:
    run = framed(None, simple('two "and" \\ three')) + framed(None, simple("four"))
    assert taught(simple("one")).texts(run) == (['two "and" \\ three', "four"], len(run))


def test_what_follows_the_refrain_is_left() -> None:
    run = framed(None, simple("two")) + framed(None, simple("three"))
    assert taught(simple("one")).texts(b"x" + run + framed(None, b"[DONE]"), 1) == (["two", "three"], len(run) + 1)


def test_one_with_another_end_is_left_with_all_that_follows() -> None:
    def event(text: str, number: int, **fields: Any) -> bytes:
        return chunk("content", text, {"obfuscation": "x", "sequence_number": number}, fields, True, True)

    refrain = taught(event("one", 9))
    run = framed(None, event("two", 10)) + framed(None, event("three", 11))
    last = framed(None, event("four", 12, finish_reason="stop"))
    assert refrain.texts(run + last + framed(None, event("five", 13))) == (["two", "three"], len(run))
    assert refrain.texts(last) is None


def test_numbers_and_noise_may_differ() -> None:
    def event(text: str, number: int, noise: str) -> bytes:
        return simple(text, obfuscation=noise, sequence_number=number)

    refrain = taught(event("one", 9, "aB3"))
    run = framed(None, event("two", 10, "")) + framed(None, event("three", 11, "x"))
    assert refrain.texts(run) == (["two", "three"], len(run))
    assert refrain.texts(framed(None, event("five", 13, "x"))) is None
    assert refrain.texts(framed(None, event("four", 12, "a b"))) is None


@pytest.mark.parametrize("number_first", [True, False])
def test_read_of_nothing_but_texts_is_not_searched_for_their_ends(
    number_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def event(text: str, number: int) -> bytes:
        return framed("x.delta", delta("x", text, number, {}, number_first, True, True))

    def says(event: Any) -> tuple[str, str]:
        return event["type"], event["delta"]

    data = delta("x", "one", 7, {}, number_first, True, True)
    refrain = Refrain()
    refrain.learn("x.delta", data, says(orjson.loads(data)), says)
    monkeypatch.setattr(Refrain, "bodies", lambda *_: None)

    for first in (8, 10, 12):  # one digit, two digits
        run = event('say "two"', first) + event("three \\", first + 1)
        assert refrain.texts(run) == (['say "two"', "three \\"], len(run))
    assert refrain.texts(event("four", 99) + event("five", 100)) is None


@pytest.mark.parametrize("noise", [None, "", "aB3"])
@pytest.mark.parametrize("number_first", [True, False, None])
@pytest.mark.parametrize("body", ["", "two", "%d", "a\\nb", "\\u00e9", 'b","delta":"c', "\x01", "\\"])
def test_text_that_comes_alone_is_what_a_parser_finds(
    number_first: bool | None, body: str, noise: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an event of which the rest is the refrain: with a number that grows longer, in front or behind, or without any, and with
    noise or without."""

    def event(body: str, number: int, noise: str | None = noise) -> bytes:
        said = f'"{body}"' if noise is None else f'"{body}","obfuscation":"{noise}"'
        data = delta("x", "BODY", number, {"by": "5%"}, bool(number_first), True, True).replace(
            b'"BODY"', said.encode()
        )
        return re.sub(rb'"sequence_number":\d+,?|,"sequence_number":\d+', b"", data) if number_first is None else data

    def says(event: Any) -> tuple[str, str]:
        return event["type"], event["delta"]

    def read(number: int, said: str) -> bytes:
        return framed("x.delta", event(said, number))

    refrain = Refrain()
    refrain.learn("x.delta", event("one", 8), says(orjson.loads(event("one", 8))), says)
    with monkeypatch.context() as alone:
        alone.setattr(Refrain, "bodies", lambda *_: None)
        assert refrain.texts(read(9, "two")) == (["two"], len(read(9, "two")))
        if noise is not None:
            assert refrain.texts(framed("x.delta", event("two", 10, "a b"))) is None
    try:
        text = json.loads(f'"{body}"')
    except json.JSONDecodeError:
        assert refrain.texts(read(10, body)) is None
    else:
        assert refrain.texts(read(10, body)) == ([text], len(read(10, body)))


def test_read_of_more_lines_than_its_events_would_have_is_not_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event for each of 16 KiB of line ends would be many times what was read."""

    def says(event: Any) -> tuple[str, str]:
        return event["type"], event["delta"]

    def event(number: int) -> bytes:
        return delta("x", "one", number, {"pad": "p" * 5_000}, True, True, True)

    refrain = Refrain()
    refrain.learn("x.delta", event(7), says(orjson.loads(event(7))), says)
    monkeypatch.setattr("adapter.dialects.refrain.counted", lambda *_: pytest.fail("put together"))
    assert refrain.run(b"\n" * 16_000) is None
    monkeypatch.undo()
    run = refrain.run(framed("x.delta", event(8)) + framed("x.delta", event(9)))
    assert run == (b'one","one', [b"one", b"one"])


@pytest.mark.parametrize("text", ["a", "b", "chat.completion.chunk"])
def test_text_that_stands_elsewhere_in_the_chunk_is_not_taken_for_the_place(text: str) -> None:
    refrain = taught(simple(text, user=text))
    assert refrain.texts(framed(None, simple(text, user="other"))) is None


def test_strings_that_borrow_from_each_other_are_no_texts() -> None:
    before, after = framed(None, simple("X")).split(b"X")
    refrain = taught(simple("one"))
    assert refrain.texts(before + b'a","b' + after + before + b"c\\" + after) is None


@pytest.mark.parametrize("behind", [b"", framed(None, simple("two"))])
@pytest.mark.parametrize(
    "hidden",
    [b'x"},"finish_reason":"stop"},{"index":1,"delta":{"content":"y', b"x\r\rdata: [DONE]\r\r"],
    ids=["finish", "done"],
)
def test_end_that_hides_in_a_text_is_seen_on_the_raw_lane(hidden: bytes, behind: bytes) -> None:
    before, after = framed(None, simple("X")).split(b"X")
    raw = DIALECTS["chat"].raw_stream(Exchange.unasked("chat"))
    raw.feed(framed(None, simple("one")) * 2)
    raw.feed(framed(None, simple("two")) * 2)

    raw.feed(before + hidden + after + behind)

    assert raw.settling or raw.ended


def test_quotes_of_a_hidden_end_are_not_made_up_for_by_texts_that_end_in_a_backslash() -> None:
    before, after = framed(None, simple("X")).split(b"X")
    hidden = b'x"},"finish_reason":"stop"},{"index":1,"delta":{"content":"y'
    raw = DIALECTS["chat"].raw_stream(Exchange.unasked("chat"))
    raw.feed(framed(None, simple("one")) * 2)

    raw.feed(framed(None, simple("a \\")) * hidden.count(b'"') + before + hidden + after)

    assert raw.settling


def test_server_that_changes_every_chunk_is_not_listened_to_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    lessons: list[bytes] = []

    def never(_: Refrain, event: bytes, *__: object) -> None:
        lessons.append(event)

    monkeypatch.setattr(Refrain, "_take", never)
    intake = Intake(DIALECTS["chat"], Exchange.unasked("responses"))
    stream = b"".join(framed(None, simple("x", created=n)) for n in range(50))
    assert sum(type(event) is Delta for event in intake.feed(stream)) == 50
    assert len(lessons) == 4


def test_one_read_of_texts_is_one_event() -> None:
    intake = Intake(DIALECTS["chat"], Exchange.unasked("responses"))
    intake.feed(framed(None, simple("one")))
    (event,) = intake.feed(framed(None, simple("two")) + framed(None, simple("three")))
    assert isinstance(event, Deltas)
    assert event.texts == ["two", "three"]


def test_text_behind_a_failure_in_the_same_read_is_not_told() -> None:
    intake = Intake(DIALECTS["chat"], Exchange.unasked("responses"))
    intake.feed(framed(None, simple("one")) + framed(None, simple("two")))
    events = intake.feed(b"".join(framed(None, data) for data in (b'{"error":{"message":"no"}}', simple("three"))))

    assert [type(event) for event in events] == [Failed]
    assert intake.ended


def test_long_reads_are_taken_in_runs_of_a_few_hundred_texts() -> None:
    said = [str(n) for n in range(3000)]
    stream = b"".join(framed(None, simple(text)) for text in said)
    intake = Intake(DIALECTS["chat"], Exchange.unasked("responses"))
    intake.feed(framed(None, simple("one")) * 2)

    events = intake.feed(stream)

    assert [event.text for event in singly(events) if type(event) is Delta] == said
    assert max(len(event.texts) for event in events if type(event) is Deltas) < 256
    assert sum(type(event) is Delta for event in events) < 50
    raw = DIALECTS["chat"].raw_stream(Exchange.unasked("chat"))
    assert raw.feed(stream) + raw.feed(stream) == stream * 2
    assert raw.events == 6000


# ------------------------------------------------------------------------------------------------------------- writing

MESSAGE = {"id": "msg_100%", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
REASONING = {"id": "rs_1", "type": "reasoning", "summary": []}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "", "status": "in_progress"}
OPENED: list[Event] = [
    Started("resp_1", "m", 0),
    ItemOpened(0, MESSAGE),
    PartOpened(0, 0, {"type": "output_text", "text": "", "annotations": [], "logprobs": []}),
    PartOpened(0, 1, {"type": "refusal", "refusal": ""}),
    ItemOpened(1, REASONING),
    PartOpened(1, 0, {"type": "summary_text", "text": ""}),
    ItemOpened(2, CALL),
]
PLACES = [
    (0, 0, DeltaKind.TEXT),
    (0, 1, DeltaKind.REFUSAL),
    (1, 0, DeltaKind.SUMMARY),
    (2, NO_PART, DeltaKind.ARGUMENTS),
]
several = st.builds(
    lambda place, said: Deltas(place[0], place[1], place[2], said),
    st.sampled_from(PLACES),
    st.lists(st.sampled_from(["a", "", '"', '",', "\\", ",", "é", "%d"]), min_size=1, max_size=4),
)


@pytest.mark.parametrize("target", ["chat", "responses"])
@pytest.mark.parametrize("client", ClientTraits)
@given(events=st.lists(several, max_size=5))
def test_texts_together_are_written_as_one_after_the_other(
    target: DialectName, client: ClientTraits, events: list[Event]
) -> None:
    def writer() -> StreamWriter:
        made = DIALECTS[target].stream_writer(Exchange.unasked(target, client=client))
        made.write(OPENED)
        return made

    together, singles, frames = writer(), writer(), writer()
    written = together.write(events)
    assert written == singles.write(singly(events))
    assert written == b"".join(framed(*frame) for event in events for frame in frames.feed(event))
    assert together.written == singles.written
