"""Every case of the corpus, over every client and upstream that it applies to.

Asked of each case: nothing but our own errors; requests that come out valid; streams that come out grammatical and end in
exactly one terminal event. Asked of a case with an `.expect.json` beside it, by key:

    requests   chat, responses  the upstream body must hold this (dicts by key, lists element by element)
               absent           {upstream: keys that the body must not have}
               losses           {upstream: paths that must be reported}
               error, param, message, only   the error class, its path, its text; `only`: the upstream that it is about
               profile          the kind of upstream
    answers    text, reasoning, refusal      joined over all items; null: anything
               calls            [item type, name, arguments or input, call id or null] in order;   namespaces
               chat_reasoning   for Chat clients, who get a paragraph between two parts of it
               items            item types in order;   annotations, logprobs: how many
               status, reason, model, created, finish (of a Chat client), usage [in, out] or null for none reported
               error            the error code (streams) or class (replies);   anomalies: true for at least one
               request, profile the request that was asked, for answers that are read by it
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapter import errors, translate
from adapter.dialects.intake import Intake
from adapter.dialects.registry import DIALECTS
from adapter.errors import AdapterError
from adapter.hub.events import Event, Failed, Finished
from adapter.hub.fold import Answer, fold
from adapter.hub.grammar import check_chat, check_hub, check_responses
from adapter.hub.losses import Anomaly
from adapter.hub.request import DialectName, Exchange
from adapter.upstream.profiles import profile
from tests import validator
from tests.corpus import DIALECT_NAMES, KINDS, Case, case, cases
from tests.validator import needs_validator

PROFILES = ("generic", "openai", "deepseek", "mistral", "vllm", "ollama")


def over(kind: Any) -> Any:
    """Parametrisation by case, with its name as the id."""
    return pytest.mark.parametrize("given", cases(kind), ids=lambda c: c.name)


# --------------------------------------------------------------------------------------------------------- requests


@over("requests")
@pytest.mark.parametrize("upstream", DIALECT_NAMES)
@pytest.mark.parametrize("kind", PROFILES)
def test_a_request_is_translated_or_refused_in_our_own_words(given: Case, upstream: DialectName, kind: str) -> None:
    """No request of the corpus, honest or not, raises anything but our errors; the honest ones are never refused twice."""

    try:
        asked = translate.request(given.json, given.dialect, upstream, profile=kind)
    except AdapterError as refused:
        assert refused.http_status == 400
        return
    assert asked.value["model"] == given.json["model"]
    assert given.json == json.loads(given.data), "the client's body was changed"


@over("requests")
@pytest.mark.parametrize("upstream", DIALECT_NAMES)
def test_a_request_becomes_what_it_must(given: Case, upstream: DialectName) -> None:
    """The upstream body, the losses and the refusal that stand beside the case."""

    expect = given.expect
    kind = expect.get("profile", "generic")
    if "error" in expect and expect.get("only", upstream) == upstream:
        with pytest.raises(getattr(errors, expect["error"])) as caught:
            translate.request(given.json, given.dialect, upstream, profile=kind)
        if "param" in expect:
            assert (caught.value.param or "").startswith(expect["param"])
        assert expect.get("message", "") in caught.value.message
        return
    if given.fault:
        return
    asked = translate.request(given.json, given.dialect, upstream, profile=kind)
    assert_holds(asked.value, expect.get(upstream, {}), upstream)
    assert [key for key in expect.get("absent", {}).get(upstream, ()) if key in asked.value] == []
    reported = {loss.path for loss in asked.losses}
    assert set(expect.get("losses", {}).get(upstream, ())) <= reported


def assert_holds(given: Any, expected: Any, at: str) -> None:
    """`given` holds `expected`: dicts may have more keys, lists have as many elements, the rest is equal."""
    if isinstance(expected, dict):
        assert isinstance(given, dict), at
        for key, value in expected.items():
            assert key in given, f"{at}.{key} is absent"
            assert_holds(given[key], value, f"{at}.{key}")
    elif isinstance(expected, list):
        assert isinstance(given, list), at
        assert len(given) == len(expected), f"{at}: {given}"
        for index, value in enumerate(expected):
            assert_holds(given[index], value, f"{at}[{index}]")
    else:
        assert given == expected, at


@needs_validator
@over("requests")
@pytest.mark.parametrize("upstream", DIALECT_NAMES)
def test_a_translated_request_is_valid(given: Case, upstream: DialectName) -> None:
    """What crosses from one dialect to the other for a server that takes everything is a request of the official file."""

    v = validator.load()
    assert v is not None
    if given.dialect == upstream:
        return
    try:
        asked = translate.request(given.json, given.dialect, upstream, profile="openai")
    except AdapterError:
        return
    name = "chat.request" if upstream == "chat" else "responses.request"
    assert v.errors(v.check(asked.value, name)) == [] or given.name in PLACEHOLDERS


PLACEHOLDERS = frozenset({"seeds/requests/responses/gomodel_compact.json"})
"""Schemas with words such as "<string>" where an enum is asked: passed on, for the upstream to judge."""


# ---------------------------------------------------------------------------------------------------------- answers


def exchange_of(given: Case, client: DialectName) -> Exchange:
    """The exchange that the answer is read by."""
    expect = given.expect
    kind = expect.get("profile", "generic")
    if "request" in expect:
        asked = case(expect["request"])
        return translate.request(asked.json, asked.dialect, given.dialect, profile=kind).exchange
    return Exchange.unasked(client, profile(kind))


def read_stream(given: Case) -> tuple[list[Event], list[Anomaly]]:
    """The hub events of a stream."""
    intake = Intake(DIALECTS[given.dialect], exchange_of(given, "responses"))
    events = intake.feed(given.data) + intake.close()
    return events, intake.anomalies


@over("streams")
def test_a_stream_is_read_into_grammatical_events(given: Case) -> None:
    """Whatever the upstream streams, the hub's grammar holds and there is one terminal event."""

    events, _ = read_stream(given)
    assert [str(violation) for violation in check_hub(events)] == []
    assert sum(isinstance(event, (Finished, Failed)) for event in events) == 1


@over("streams")
def test_a_stream_says_what_it_must(given: Case) -> None:
    """Text, calls, status and usage that stand beside the case."""

    events, anomalies = read_stream(given)
    assert_says(fold(events), given.expect)
    if given.expect.get("anomalies"):
        assert anomalies


@over("streams")
@pytest.mark.parametrize("client", DIALECT_NAMES)
def test_a_stream_comes_out_grammatical(given: Case, client: DialectName) -> None:
    """Every client gets a stream that its API allows, with exactly one terminal event, and that says the same."""

    out = b"".join(translate.stream([given.data], given.dialect, client, exchange=exchange_of(given, client)))
    expect = given.expect
    if client == "chat":
        assert [str(violation) for violation in check_chat(out)] == []
        assert (b'"error"' in out.rsplit(b"data: ", 1)[-1]) != out.endswith(b"data: [DONE]\n\n")
        assert_chat_stream(out, expect)
    else:
        assert [str(violation) for violation in check_responses(out)] == []
        terminals = [out.count(b"event: response.%s\n" % end) for end in (b"completed", b"incomplete", b"failed")]
        assert sum(terminals) == 1
        if "status" in expect:
            assert f"event: response.{expect['status']}\n".encode() in out


@needs_validator
@over("streams")
@pytest.mark.parametrize("client", DIALECT_NAMES)
def test_a_stream_comes_out_valid(given: Case, client: DialectName) -> None:
    """The official file and the reference grammar agree with every stream that we write."""

    v = validator.load()
    assert v is not None
    out = b"".join(translate.stream([given.data], given.dialect, client, exchange=exchange_of(given, client)))
    check = v.check_chat_sse if client == "chat" else v.check_responses_sse
    assert [problem for problem in v.errors(check(out)) if not passed_on(problem)] == []


def passed_on(problem: Any) -> bool:
    """What we pass on knowingly: error codes that clients act on though the file lacks them, and items and annotations of
    the upstream's own, whose letter is the upstream's matter."""
    return problem.code.startswith("schema.") and any(word in f"{problem.where} {problem.msg}" for word in PASSED_ON)


PASSED_ON = ("response.error.code", "acme:", "url_citation")


@needs_validator
@over("streams")
def test_the_checkers_agree_with_the_reference(given: Case) -> None:
    """Our grammar and the reference validator find the same faults in the raw stream of every upstream."""

    v = validator.load()
    assert v is not None
    if given.dialect == "chat":
        ours, theirs = check_chat(given.data), v.check_chat_sse(given.data, schema=False)
    else:
        ours, theirs = check_responses(given.data), v.check_responses_sse(given.data, schema=False)
    codes = {violation.code for violation in ours} - {"malformed"}
    if "sse.utf8" in codes:  # what follows depends on how the broken bytes are read
        return
    assert codes == {problem.code for problem in v.errors(theirs)} - {"malformed"}


@over("replies")
def test_a_reply_is_read_or_refused_in_our_own_words(given: Case) -> None:
    """A plain reply becomes grammatical hub events and says what it must, or raises an upstream error of ours."""

    expect = given.expect
    dialect = DIALECTS[given.dialect]
    try:
        events, _ = dialect.read_reply(given.json, exchange_of(given, "responses"))
        answer = fold(events)
        if answer.error is not None:
            raise answer.error
    except AdapterError as refused:
        assert "error" in expect or expect == {}
        assert isinstance(refused, getattr(errors, expect.get("error", "AdapterError")))
        return
    assert "error" not in expect
    assert [str(violation) for violation in check_hub(events)] == []
    assert_says(answer, expect)


@over("replies")
@pytest.mark.parametrize("client", DIALECT_NAMES)
def test_a_reply_comes_out_valid(given: Case, client: DialectName) -> None:
    """Every client gets an object that its API allows, from every upstream."""

    try:
        told = translate.reply(given.json, given.dialect, client, exchange=exchange_of(given, client))
    except AdapterError as refused:
        assert refused.http_status >= 400
        return
    if client == "chat":
        assert_chat_message(told.value["choices"][0]["message"], told.value["choices"][0], given.expect)
    v = validator.load()
    if v is not None and not given.fault and given.name not in FOREIGN_REPLIES:
        problems = v.errors(v.check(told.value, "chat.response" if client == "chat" else "response"))
        assert [problem for problem in problems if not passed_on(problem)] == []


FOREIGN_REPLIES = frozenset(
    {"seeds/replies/responses/gomodel_compact.json", "seeds/replies/responses/perl_compaction.json"}
)
"""A schema with placeholders, and the reply of another endpoint: read without a crash, not held to the letter."""


SEEDS = validator.PATH.parent.parent / "seeds"


@pytest.mark.skipif(not SEEDS.exists(), reason="needs ../shared/seeds")
@pytest.mark.parametrize(
    "given",
    [c for kind in KINDS for c in cases(kind) if c.name.startswith("seeds/")],
    ids=lambda c: c.name,
)
def test_a_seed_stands_word_for_word_in_its_source(given: Case) -> None:
    """Indentation of the page around it aside."""

    wanted = _lines(given.data.decode())
    assert any(wanted in _lines(source.read_text()) for source in SEEDS.iterdir())


def _lines(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip()).replace("-d '", "").replace("'", "")


# ---------------------------------------------------------------------------------------------------- expectations


def assert_says(answer: Answer, expect: dict[str, Any]) -> None:
    """The answer in the hub is what stands beside the case."""
    said = told(answer)
    if answer.status != "failed":
        for key in ("text", "reasoning", "refusal"):
            if expect.get(key) is not None:
                assert said[key] == expect[key], key
        if "calls" in expect:
            assert [call[:3] for call in said["calls"]] == [call[:3] for call in expect["calls"]]
            for given, wanted in zip(said["calls"], expect["calls"], strict=True):
                assert given[3] == wanted[3] if wanted[3] is not None else given[3]
    for key in ("items", "namespaces", "annotations", "logprobs"):
        if key in expect:
            assert said[key] == expect[key], key
    for key, value in (("status", answer.status), ("reason", answer.reason), ("model", answer.model)):
        if key in expect:
            assert value == expect[key], key
    if "created" in expect:
        assert answer.created_at == expect["created"]
    if "usage" in expect:
        usage = answer.usage
        assert (usage and [usage["input_tokens"], usage["output_tokens"]]) == expect["usage"]
    if "error" in expect:
        assert answer.error is not None
        assert answer.error.code == expect["error"]


def told(answer: Answer) -> dict[str, Any]:
    """What an answer says, in the terms of the expectations."""
    said: dict[str, Any] = {"text": "", "reasoning": "", "refusal": "", "calls": [], "items": [], "namespaces": []}
    said["annotations"] = said["logprobs"] = 0
    for item in answer.output:
        said["items"].append(item["type"])
        if item["type"] in ("function_call", "custom_tool_call"):
            said["calls"].append(
                [item["type"], item["name"], item.get("arguments", item.get("input")), item["call_id"]]
            )
            said["namespaces"] += [item["namespace"]] if item.get("namespace") else []
        parts = (item.get("summary") or []) + (item.get("content") or [])
        for part in parts if item["type"] in ("message", "reasoning") else ():
            key = "reasoning" if item["type"] == "reasoning" else "refusal" if "refusal" in part else "text"
            said[key] += part.get("refusal", part.get("text", ""))
            said["annotations"] += len(part.get("annotations") or ())
            said["logprobs"] += len(part.get("logprobs") or ())
    return said


def assert_chat_message(message: dict[str, Any], choice: dict[str, Any], expect: dict[str, Any]) -> None:
    """The Chat client's message says what stands beside the case."""
    if "finish" in expect:
        assert choice["finish_reason"] == expect["finish"]
    if expect.get("text") is not None:
        assert (message["content"] or "") == expect["text"]
    if expect.get("refusal"):
        assert message["refusal"] == expect["refusal"]
    if expect.get("reasoning"):
        assert message["reasoning_content"] == expect.get("chat_reasoning", expect["reasoning"])
    if "calls" in expect:
        assert [call[call["type"]]["name"] for call in message.get("tool_calls", ())] or expect["calls"] == []
        assert len(message.get("tool_calls", ())) == len(expect["calls"])
    if "chat_annotation" in expect:
        citation = message["annotations"][0]["url_citation"]
        assert [citation["start_index"], citation["end_index"]] == expect["chat_annotation"]


def assert_chat_stream(out: bytes, expect: dict[str, Any]) -> None:
    """The Chat client's chunks, put together, say what stands beside the case."""
    chunks = [json.loads(line[6:]) for line in out.split(b"\n\n") if line.startswith(b"data: {")]
    choices = [choice for chunk in chunks for choice in chunk.get("choices", ()) if choice["index"] == 0]
    if expect.get("status") == "failed" or not choices:
        return
    joined = {
        key: "".join(choice["delta"].get(key) or "" for choice in choices)
        for key in ("content", "refusal", "reasoning_content")
    }
    for key, name in (("text", "content"), ("refusal", "refusal"), ("reasoning", "reasoning_content")):
        if expect.get(key) is not None:
            assert joined[name] == expect.get(f"chat_{key}", expect[key]), key
    if "finish" in expect:
        assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == [expect["finish"]]
    if "calls" in expect:
        arguments: dict[int, str] = {}
        for choice in choices:
            for call in choice["delta"].get("tool_calls") or ():
                inner = call.get("function") or call.get("custom") or {}
                text = inner.get("arguments", inner.get("input")) or ""
                arguments[call["index"]] = arguments.get(call["index"], "") + text
        assert [arguments[index] for index in sorted(arguments)] == [call[2] for call in expect["calls"]]
