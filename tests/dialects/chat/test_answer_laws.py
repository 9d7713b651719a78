"""Laws of Chat answers: whatever comes, the events are grammatical; stream and plain say the same; what goes out validates."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from adapter.dialects import chat
from adapter.errors import AdapterError, UpstreamTimeout
from adapter.hub.events import Event, Failed, Finished
from adapter.hub.fold import Answer, fold
from adapter.hub.grammar import check_chat, check_hub
from tests.dialects.chat.making import HEAD, chunk_bytes, exchange, read_all, write_all
from tests.validator import load

# ----------------------------------------------------------------------------------------------------------- strategies

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters(), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def rarely_wrong(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """`right`, and now and then anything at all."""
    return st.integers(0, 9).flatmap(lambda roll: json_values if roll == 0 else right)


def some_of(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={key: rarely_wrong(value) for key, value in keys.items()})


short = st.sampled_from(["", "a", "b \u00e9", "{", "}", '{"x":1}', '{"input": "', '\\n"}', "\ud83d", "\ude00", "STOP"])
names = st.sampled_from(["", "f", "get_", "patch", "search", "run", "ap", "local", "mcp__files__read", "agents__send"])
fragments = some_of(
    index=st.integers(-1, 3),
    id=st.sampled_from(["", "a", "b", "c" * 70]),
    type=st.sampled_from(["function", "custom"]),
    function=some_of(name=names, arguments=short),
    custom=some_of(name=names, input=short),
)
logprob = some_of(token=short, logprob=st.floats(-9, 0), bytes=st.none(), top_logprobs=st.just([{"token": "x"}]))
citation = some_of(
    type=st.just("url_citation"), url_citation=some_of(url=short, title=short, start_index=st.integers())
)
deltas = some_of(
    role=st.just("assistant"),
    content=short
    | st.lists(some_of(type=st.sampled_from(["text", "thinking", "refusal"]), text=short, thinking=short)),
    refusal=short,
    reasoning_content=short,
    reasoning=short,
    tool_calls=st.lists(rarely_wrong(fragments), max_size=3),
    function_call=some_of(name=names, arguments=short),
    annotations=st.lists(citation, max_size=2),
)
finishes = st.sampled_from(
    [None, None, None, None, "", "stop", "length", "tool_calls", "content_filter", "error", "odd"]
)
choices = some_of(
    index=st.sampled_from([0, 0, 0, 1]),
    delta=deltas,
    message=deltas,
    finish_reason=finishes,
    logprobs=some_of(content=st.lists(logprob, max_size=2), refusal=st.lists(logprob, max_size=2)),
)
chunks = some_of(
    id=st.sampled_from(["", "chatcmpl-1", "chatcmpl-2"]),
    object=st.just("chat.completion.chunk"),
    created=st.integers(0, 10),
    model=st.sampled_from(["", "m"]),
    choices=st.lists(rarely_wrong(choices), min_size=1, max_size=2),
    usage=some_of(prompt_tokens=st.integers(0, 9), completion_tokens=st.integers(0, 9)),
    error=st.just(None),
    service_tier=st.sampled_from(["default", "on_demand"]),
    moderation=st.just({"flagged": False}),
)


def dumped(value: Any) -> bytes:
    """As a server would send it, lone surrogates, NaN and all."""
    return json.dumps(value).encode()


lines = chunks.map(dumped) | st.sampled_from([b"[DONE]", b"", b"{", b"null", b'{"type":"ping"}', b'{"error":"x"}'])
plain = some_of(logprobs=st.none(), index=st.just(0), message=deltas, finish_reason=finishes)
ASKED = {"responses": exchange(), "chat": exchange("chat"), "summary": exchange(reasoning={"summary": "auto"})}
asked_as = st.sampled_from(sorted(ASKED))


def ends(events: list[Event]) -> None:
    """Grammatical, exactly one terminal, and writable for a Chat client."""
    assert check_hub(events) == []
    assert sum(isinstance(event, (Finished, Failed)) for event in events) == 1
    out = write_all(events, exchange("chat"))
    assert check_chat(out) == []
    validator = load()
    if validator is not None and b'"type":"custom"' not in out:  # the schema of chunks knows functions only
        assert validator.errors(validator.check_chat_sse(out)) == []


# ----------------------------------------------------------------------------------------------------------------- laws


@given(st.lists(lines, max_size=8), st.sampled_from(["done", "close", "fail"]), asked_as)
def test_any_chunks_give_a_grammatical_answer_with_one_end(data: list[bytes], end: str, asked: str) -> None:
    reader = chat.stream_reader(ASKED[asked])
    events = [event for line in data for event in reader.feed(None, line)]
    if end == "done":
        events += reader.feed(None, b"[DONE]")
    events += reader.fail(UpstreamTimeout("x")) if end == "fail" else reader.close()

    assert reader.ended
    assert reader.feed(None, chunk_bytes({"content": "late"})) == []
    ends(events)


@given(st.lists(st.binary() | json_values.map(dumped), max_size=4))
def test_any_bytes_give_a_grammatical_answer_with_one_end(data: list[bytes]) -> None:
    events, _ = read_all(*data)

    ends(events)


@given(
    some_of(id=st.just("x"), choices=st.lists(plain, max_size=2), usage=json_values, created=st.floats()) | json_values
)
def test_any_reply_is_an_answer_or_an_error_of_ours(body: Any) -> None:
    try:
        events, _ = chat.read_reply(body, exchange())
    except AdapterError:
        return

    ends(events)
    reply = chat.write_reply([fold(events)], exchange("chat"))
    validator = load()
    if validator is not None:
        assert validator.errors(validator.check(reply, "chat.response")) == []


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
arguments = st.dictionaries(st.text(max_size=3), st.integers(), max_size=2).map(json.dumps) | st.just("")
tool_calls = st.lists(st.tuples(st.sampled_from(["f", "g", "patch", "search", "run"]), arguments), max_size=3)
whole_messages = st.fixed_dictionaries(
    {},
    optional={"reasoning_content": texts, "content": texts, "refusal": texts, "calls": tool_calls},
)


def told(message: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The plain message, and the smallest deltas that say the same."""
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": text}}
        for n, (name, text) in enumerate(message.pop("calls", []))
    ]
    pieces: list[dict[str, Any]] = [
        {key: c} for key in ("reasoning_content", "content", "refusal") for c in message.get(key, "")
    ]
    for n, called in enumerate(calls):
        pieces.append({"tool_calls": [{"index": n, **called, "function": {**called["function"], "arguments": ""}}]})
        pieces += [
            {"tool_calls": [{"index": n, "function": {"arguments": c}}]} for c in called["function"]["arguments"]
        ]
    return {**message, **({"tool_calls": calls} if calls else {})}, pieces


@given(whole_messages, st.sampled_from(["stop", "length", "content_filter", "tool_calls"]), asked_as)
def test_a_stream_and_a_plain_reply_that_say_the_same_are_the_same_answer(
    message: dict[str, Any], finish: str, asked: str
) -> None:
    message, pieces = told(message.copy())
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    body = {**HEAD, "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}

    streamed, reader = read_all(*map(chunk_bytes, pieces), chunk_bytes({}, finish, usage=usage), asked=ASKED[asked])
    at_once, anomalies = chat.read_reply(body, ASKED[asked])

    assert fold(streamed) == fold(at_once)
    assert reader.anomalies == anomalies
    assert check_hub(at_once) == check_hub(streamed) == []


def assembled(raw: bytes) -> dict[str, Any]:
    """What a client makes of a Chat stream."""
    message: dict[str, Any] = {"content": "", "refusal": "", "reasoning_content": "", "annotations": []}
    calls: list[dict[str, Any]] = []
    finish = None
    for line in raw.split(b"\n\n"):
        if not line.startswith(b"data: {"):
            continue
        for choice in orjson.loads(line[6:])["choices"]:
            delta = choice["delta"]
            finish = choice["finish_reason"] or finish
            for key in message:
                message[key] += delta.get(key) or ("" if key != "annotations" else [])
            for call in delta.get("tool_calls", ()):
                if "id" in call:
                    calls.append(call)
                else:
                    kind, key = ("custom", "input") if "custom" in call else ("function", "arguments")
                    calls[call["index"]][kind][key] += call[kind][key]
    return {**message, "calls": [{k: v for k, v in call.items() if k != "index"} for call in calls], "finish": finish}


def shown(answer: Answer, asked: Any) -> dict[str, Any]:
    (choice,) = chat.write_reply([answer], asked)["choices"]
    message = choice["message"]
    return {
        "content": message["content"] or "",
        "refusal": message["refusal"] or "",
        "reasoning_content": message.get("reasoning_content", ""),
        "annotations": message.get("annotations", []),
        "calls": message.get("tool_calls", []),
        "finish": choice["finish_reason"],
    }


@given(st.lists(chunks.map(dumped), max_size=6))
def test_what_a_chat_client_gets_as_a_stream_is_what_it_gets_plain(data: list[bytes]) -> None:
    events, _ = read_all(*data)
    if isinstance(events[-1], Failed):
        return
    asked = exchange("chat")

    assert assembled(write_all(events, asked)) == shown(fold(events), asked)


@given(st.lists(chunks.map(dumped), max_size=6))
def test_the_same_input_gives_the_same_bytes(data: list[bytes]) -> None:
    first, second = (write_all(read_all(*data)[0], exchange("chat")) for _ in range(2))

    assert first == second


def test_frames_hold_one_line() -> None:
    """A newline in what the model says cannot end an event: role, text, finish, usage or not, [DONE]."""
    events, _ = read_all(chunk_bytes({"content": "a\n\ndata: [DONE]\n\nb"}, "stop"))

    assert write_all(events, exchange("chat")).count(b"\n\n") == 4
