"""Every law of live servers can fail: for each there are servers with one defect, of which it and no other law speaks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from adapter.conform.live import following, laws
from adapter.conform.live.case import Answer, named
from adapter.conform.live.questions import NOBODY, laws_of
from tests.conform.defects import (
    BOTH,
    DONE,
    STREAM,
    calls,
    compacted,
    counted,
    created,
    deltas,
    detailed,
    each,
    events,
    filled,
    finish,
    held,
    if_choice,
    listed,
    miscounts,
    plain,
    sets,
    shown,
    streams,
    texts,
    where,
    without,
)
from tests.conform.live import Defect, Holding, Keeping, broken, judged


def _same_ids(told: Any) -> None:
    for call in told["choices"][0]["message"].get("tool_calls") or () if "choices" in told else ():
        call["id"] = "call_1"
    for item in told.get("output", ()):
        item["id"] = "fc_1"


def _unfinished(told: Any) -> None:
    if told["status"] == "completed":
        told["output"][0]["status"] = "in_progress"


def _completed(told: Any) -> None:
    """As Ollama's responses end, at their limit as well."""
    told |= {"status": "completed", "incomplete_details": None}
    for item in told["output"]:
        item["status"] = "completed"


def _counts_no_output(told: Any) -> None:
    for key in told["usage"].keys() & {"completion_tokens", "output_tokens"}:
        told["usage"] |= {key: 0, "total_tokens": told["usage"]["total_tokens"] - told["usage"][key]}


def _stores_all(body: dict[str, Any], told: Any) -> Any:
    return told | {"store": True} if body.get("store") is False and "store" in told else told


def _fits_nothing(body: dict[str, Any]) -> dict[str, Any]:
    """A server that knows no schemas, but JSON."""
    if "response_format" in body:
        body["response_format"] = {"type": "json_object"}
    if "text" in body:
        body["text"] = {"format": {"type": "json_object"}}
    return body


def _hears_the_last(body: dict[str, Any]) -> dict[str, Any]:
    """A server that lets the model see the last message only."""
    for key in body.keys() & {"messages", "input"}:
        if isinstance(body[key], list) and body[key][-1].get("role") == "user":
            body[key] = body[key][-1:]
    return body


def _knows_schemas_only(body: dict[str, Any]) -> dict[str, Any]:
    plain = {"type": "json_object"}
    return {key: value for key, value in body.items() if value not in (plain, {"format": plain})}


def _counts_nothing(usage: dict[str, Any], key: str) -> None:
    usage |= {key: 0, "total_tokens": usage["total_tokens"] - usage[key]}


def _counts_below_nothing(usage: dict[str, Any], key: str) -> None:
    usage |= {key: -5, "total_tokens": usage["total_tokens"] - usage[key] - 5}


def _counts_alike(usage: dict[str, Any], key: str) -> None:
    usage |= {key: 99, "total_tokens": usage["total_tokens"] - usage[key] + 99}


def _always_cut(told: Any) -> None:
    for choice in told.get("choices", ()):
        choice["finish_reason"] = choice["finish_reason"] and "length"
    if told.get("status") == "completed":
        told |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}


def _cut_characters(text: str) -> str:
    return re.sub("[^\x00-\x7f]", "\ufffd", text)


def _as_latin_1(text: str) -> str:
    return text.encode().decode("latin-1")


def _many_logprobs(told: Any) -> None:
    tokens = [(choice.get("logprobs") or {}).get("content") for choice in told.get("choices", ())]
    tokens += [part.get("logprobs") for item in told.get("output", ()) for part in item.get("content", ())]
    for token in (token for every in tokens for token in every or ()):
        token["top_logprobs"] = [{"token": "a", "logprob": -1.0, "bytes": []}] * 3


def _ids_again() -> Defect:
    """A server that says the id of a call in each of its fragments: the SDKs append the one to the other."""
    ids: dict[int, str] = {}

    def change(delta: dict[str, Any]) -> None:
        for call in delta.get("tool_calls") or ():
            call["id"] = ids[call["index"]] = call.get("id") or ids[call["index"]]

    return deltas(change)


def _flattened(body: dict[str, Any], told: Any) -> Any:
    """As Ollama named the tools of namespaces."""
    holder = told.get("response") if isinstance(told.get("response"), dict) else told
    for item in [told.get("item"), *holder.get("output", ())]:
        if isinstance(item, dict) and item.get("namespace"):
            item["name"] = f"{item.pop('namespace')}.{item['name']}"
    if told.get("type") == "response.function_call_arguments.done" and body["tools"][0]["type"] == "namespace":
        told["name"] = f"{body['tools'][0]['name']}.{told['name']}"
    return told


def _instructs(body: dict[str, Any], answer: Answer) -> bool:
    return '"developer"' in json.dumps(body.get("input"))


def _in_lists(body: dict[str, Any], answer: Answer) -> bool:
    items = body.get("input") if isinstance(body.get("input"), list) else []
    return any(isinstance(item, dict) and isinstance(item.get("output"), list) for item in items)


_NO_ROLE: Any = {
    "status": 400,
    "raw": b'{"error": {"message": "Unexpected message role.", "type": "invalid_request_error"}}',
}
"""As vLLM and llama.cpp answered with the templates of some models."""


def _sealed(told: Any) -> list[Any]:
    return [item for item in told["output"] if item["type"] == "compaction"]


def _roomy(body: dict[str, Any]) -> dict[str, Any]:
    return {key: 1000 if key.startswith("max_") else value for key, value in body.items()}


def _counts(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "stream_options": {"include_usage": True}}


def _hidden(body: dict[str, Any], answer: Answer) -> Answer:
    """An error as the only event of a stream."""
    if answer.status == 200 or body.get("stream") is not True:
        return answer
    return Answer(200, STREAM, b"event: error\ndata: " + answer.raw + b"\n\n")


def _refuses(body: dict[str, Any], answer: Answer) -> bool:
    return answer.status >= 400 and b"Unknown path" not in answer.raw  # that it has none is another matter


def _on_tools(body: dict[str, Any], answer: Answer) -> bool:
    return "tools" in body


def _tail(raw: bytes) -> bytes:
    """The last event."""
    return raw.rstrip().rpartition(b"\n\n")[2] + b"\n\n"


def _twice(told: Any) -> None:
    for choice in list(told["choices"]):
        told["choices"].append({**choice, "index": 1})


def _in_parts(delta: dict[str, Any]) -> None:
    """As servers say it that stream the parts of messages."""
    for key in ("content", "delta"):
        if delta.get(key):
            delta[key] = [{"type": "text", "text": delta[key]}]


def _null_arguments(delta: dict[str, Any]) -> None:
    for call in delta.get("tool_calls") or ():
        call["function"]["arguments"] = call["function"]["arguments"] or None


def _garbles(delta: dict[str, Any]) -> None:
    delta |= {key: _cut_characters(delta[key]) for key in ("content",) if delta.get(key)}


def _half(delta: dict[str, Any]) -> None:
    if delta.get("content") == "You ":
        delta["content"] += "\ud83d"


def _failed(body: dict[str, Any], answer: Answer) -> Answer:
    """An error that goes out with the status of an answer."""
    error = b'{"error": {"message": "CUDA is out of memory", "type": "server_error"}}'
    return Answer(200, "application/json", error) if answer.status == 200 and "tools" in body else answer


NATIVE = {"type": "web_search_call", "id": "ws_1"}
DEFECTS: list[tuple[Callable[..., Any], tuple[str, ...], Any]] = [
    (laws.comes_whole, BOTH, where(_on_tools, fault="the connection broke")),
    (laws.is_answered, ("responses",), where(_instructs, **_NO_ROLE)),
    (laws.is_answered, ("responses",), where(_in_lists, **_NO_ROLE)),
    (laws.is_answered, BOTH, where(_on_tools, status=500)),
    (laws.is_answered, BOTH, where(lambda body, _: "function_call_output" in str(body) or "'tool'" in str(body), status=400)),
    (laws.is_answered, BOTH, Defect(answers=_failed)),
    (laws.is_json, BOTH, where(lambda _, answer: answer.media_type != STREAM and answer.status == 200, media_type="")),
    (laws.is_json, BOTH, where(_refuses, media_type="text/html")),
    (laws.is_json, BOTH, where(_refuses, raw=b'"no"')),
    (laws.has_the_shape, BOTH, plain(lambda told: told.pop("model"))),
    (laws.has_the_shape, BOTH, plain(lambda told: told.pop("usage"))),
    (laws.has_the_shape, ("chat",), plain(lambda told: told["choices"].append(told["choices"][0]))),
    (laws.has_the_shape, ("chat",), Defect(hears=lambda body: body if body.get("stream") else without("n")(body))),
    (laws.has_the_shape, ("chat",), events(sets(created="now"))),
    (laws.has_the_shape, ("chat",), events(sets(created=1_764_000_000_000))),
    (laws.has_the_shape, ("chat",), events(lambda chunk: chunk.update(service_tier=5))),
    (laws.has_the_shape, ("responses",), created(temperature="1")),
    (laws.has_the_shape, BOTH, plain(counted("input", lambda usage, key: usage.update({f"{key}_details": 0})))),
    (laws.has_the_shape, ("responses",), events(sets(tools=None))),
    (laws.has_the_shape, ("responses",), plain(lambda told: told["usage"].pop("input_tokens_details"))),
    (laws.ends_as_it_says, ("chat",), finish("tool_calls", "stop")),
    (laws.ends_as_it_says, ("chat",), finish("stop", "tool_calls")),
    (laws.ends_as_it_says, ("chat",), finish("tool_calls", "function_call")),
    (laws.ends_as_it_says, ("responses",), plain(sets(status="queued"))),
    (laws.ends_as_it_says, ("responses",), plain(sets(error={"code": "server_error", "message": "oh"}))),
    (laws.ends_as_it_says, ("responses",), plain(sets(incomplete_details=None))),
    (laws.ends_as_it_says, ("responses",), plain(sets(incomplete_details={"reason": "max_output_tokens"}))),
    (laws.ends_as_it_says, ("responses",), plain(_unfinished)),
    (laws.usage_adds_up, BOTH, plain(miscounts)),
    (laws.usage_adds_up, BOTH, events(miscounts)),
    (laws.usage_adds_up, BOTH, plain(_counts_no_output)),
    (laws.usage_adds_up, BOTH, plain(counted("input", _counts_nothing))),
    (laws.usage_adds_up, BOTH, plain(counted("input", detailed(cached_tokens=999)))),
    (laws.usage_adds_up, BOTH, events(counted("output", detailed(reasoning_tokens=999)))),
    (laws.usage_adds_up, BOTH, plain(counted("output", detailed(reasoning_tokens=-1)))),
    (laws.usage_adds_up, BOTH, plain(counted("output", _counts_below_nothing))),
    (laws.usage_adds_up, BOTH, texts(lambda text: "")),
    (laws.calls_only_what_is_offered, ("responses",), Defect(says=_flattened)),
    (laws.calls_only_what_is_offered, BOTH, calls(each(name="rm"))),
    (laws.arguments_fit_their_schema, BOTH, calls(each(arguments="[]"))),
    (laws.arguments_fit_their_schema, BOTH, calls(each(arguments='{"town": "Paris"}'))),
    (laws.characters_come_whole, BOTH, texts(_cut_characters)),
    (laws.characters_come_whole, BOTH, texts(_as_latin_1)),
    (laws.characters_come_whole, BOTH, calls(each(arguments='{"city": "S\ufffdo Paulo"}'))),
    (laws.characters_come_whole, ("chat",), deltas(_garbles)),
    (laws.ids_are_distinct, BOTH, plain(_same_ids)),
    (laws.repeats_its_request, ("responses",), plain(sets(parallel_tool_calls=True))),
    (laws.repeats_its_request, ("responses",), events(sets(tool_choice="auto"))),
    (laws.repeats_its_request, ("responses",), plain(sets(tools=[]))),
    (laws.repeats_its_request, ("responses",), plain(sets(text={"format": {"type": "text"}}))),
    (laws.repeats_its_request, ("responses",), Defect(says=_stores_all)),
    (laws.repeats_its_request, ("responses",), plain(sets(previous_response_id="resp_1"))),
    (laws.repeats_its_request, ("responses",), plain(sets(instructions="Be rude."))),
    (laws.repeats_its_request, ("responses",), plain(sets(max_output_tokens=7))),
    (laws.repeats_its_request, ("responses",), plain(sets(metadata={}))),
    (laws.repeats_its_request, ("responses",), plain(sets(background=True))),
    (laws.keeps_its_limit, BOTH, Defect(hears=_roomy)),
    (laws.is_cut_at_its_limit, BOTH, plain(_always_cut)),
    (laws.says_that_it_is_cut, ("chat",), finish("length", "stop")),
    (laws.says_that_it_is_cut, ("responses",), plain(_completed)),
    (laws.is_an_event_stream, BOTH, where(lambda _, answer: answer.media_type == STREAM, media_type="application/json")),
    (laws.ends_once, BOTH, streams(lambda raw: raw + _tail(raw))),
    (laws.ends_once, BOTH, streams(lambda raw: raw.removesuffix(_tail(raw)))),
    (laws.ends_once, ("chat",), streams(lambda raw: raw.replace(DONE, b'data: {"error": {"message": "oh"}}\n\n'))),
    (laws.ends_once, ("chat",), streams(lambda raw: raw.replace(DONE, b'data: {"error": {"message": "oh"}}\n\n' + DONE))),
    (laws.ends_once, ("responses",), streams(lambda raw: raw.replace(b"response.completed", b"response.failed"))),
    (laws.is_grammatical, ("chat",), streams(lambda raw: raw.replace(b'"role":"assistant",', b""))),
    (laws.is_grammatical, ("responses",), streams(lambda raw: raw.replace(b"_number\":0", b"_number\":1"))),
    (laws.is_grammatical, BOTH, streams(lambda raw: raw.replace(b"data: {", b"data: {{", 1))),
    (laws.is_grammatical, BOTH, streams(lambda raw: b"\xef\xbb\xbf" + raw)),
    (laws.is_grammatical, ("chat",), events(sets(object="chat.completion"))),
    (laws.is_grammatical, ("chat",), events(_twice)),
    (laws.is_grammatical, ("chat",), _ids_again()),
    (laws.is_grammatical, ("chat",), Defect(hears=lambda body: without("n")(body) if body.get("stream") else body)),
    (laws.is_grammatical, ("chat",), deltas(lambda delta: delta.update(role=delta.get("role", "tool")))),
    (laws.is_grammatical, ("chat",), deltas(_half)),
    (laws.is_grammatical, BOTH, deltas(_in_parts)),
    (laws.is_grammatical, ("chat",), deltas(_null_arguments)),
    (laws.is_grammatical, ("responses",), deltas(lambda told: told.pop("item_id", None))),
    (laws.usage_comes_as_asked, ("chat",), Defect(hears=without("stream_options"))),
    (laws.usage_comes_as_asked, ("chat",), Defect(hears=_counts)),
    (laws.usage_comes_as_asked, ("responses",), events(sets(usage=None))),
    (laws.calls_only_what_is_offered, BOTH, Defect(hears=if_choice("none", "auto"))),
    (laws.calls_only_what_is_offered, BOTH, Defect(hears=if_choice(dict, "required"))),
    (laws.calls_when_it_must, BOTH, Defect(hears=if_choice("required", "auto"))),
    (laws.calls_when_it_must, BOTH, Defect(hears=if_choice(dict, "none"))),
    (laws.calls_one_at_a_time, BOTH, Defect(hears=without("parallel_tool_calls"))),
    (laws.stops_before_its_stop, ("chat",), Defect(hears=without("stop"))),
    (laws.tells_its_logprobs, BOTH, Defect(hears=without("logprobs", "include"))),
    (laws.tells_its_logprobs, BOTH, plain(_many_logprobs)),
    (following.counts_what_is_added, BOTH, plain(counted("input", _counts_alike))),
    (following.counts_what_is_added, ("responses",), Keeping(forgets=True)),
    (following.counts_what_is_added, BOTH, Defect(hears=_hears_the_last)),
    (following.lists_its_models, BOTH, listed(lambda told: told.update(object="models"))),
    (following.lists_its_models, BOTH, listed(lambda told: told.update(data=[{"id": "m", "object": "model"}]))),
    (following.lists_its_models, BOTH, listed(lambda told: told.update(data=[]))),
    (following.is_not_kept, ("responses",), Keeping(always=True)),
    (following.is_what_was_said, ("responses",), shown("", lambda told: told.update(id="resp_1") if "output" in told else None)),
    (following.is_what_was_said, ("responses",), shown("", lambda told: told.update(output=[NATIVE]) if "output" in told else None)),
    (following.lists_its_input, ("responses",), shown("items", lambda told: told.update(data=[]))),
    (following.lists_its_input, ("responses",), shown("items", lambda told: told.pop("has_more") and None)),
    (following.counts_its_input, ("responses",), held("input_tokens", lambda told: told.update(object="input_tokens"))),
    (following.counts_its_input, ("responses",), held("input_tokens", lambda told: told.update(input_tokens=7))),
    (following.is_a_conversation, ("responses",), held("conversations", lambda told: told.pop("created_at", None) and None)),
    (following.holds_what_was_said, ("responses",), held("items", lambda told: told["data"].pop() and None)),
    (following.holds_what_was_said, ("responses",), held("items", lambda told: told["data"][0].update(content=[5]))),
    (following.holds_what_was_said, ("responses",), held("items", lambda told: told["data"][0].update(content=[{"text": []}]))),
    (following.holds_what_was_said, ("responses",), held("items", lambda told: told["data"].pop(0) and None)),
    (following.holds_what_was_said, ("responses",), held("items", lambda told: told.pop("has_more") and None)),
    (following.goes_on_behind, ("responses",), held("starting_after", lambda told: [told[0], *told])),
    (following.goes_on_behind, ("responses",), held("starting_after", lambda told: told[1:])),
    (following.is_compacted, ("responses",), compacted(lambda told: told.update(object="response"))),
    (following.is_compacted, ("responses",), compacted(lambda told: told.update(output=_sealed(told) * 2))),
    (following.is_compacted, ("responses",), compacted(lambda told: [one.pop("encrypted_content") for one in _sealed(told)] and None)),
    (following.is_compacted, ("responses",), compacted(lambda told: told.pop("usage") and None)),
    (laws.fits_its_schema, BOTH, Defect(hears=_fits_nothing)),
    (laws.is_a_json_object, BOTH, Defect(hears=_knows_schemas_only)),
    (laws.fits_its_schema, BOTH, filled(lambda value: value.update(people="many"))),
    (laws.fits_its_schema, BOTH, filled(lambda value: value.pop("city"))),
    (laws.fits_its_schema, BOTH, filled(lambda value: value.update(mayor="?"))),
    (laws.is_refused, BOTH, Defect(hears=lambda body: body | {"model": "demo-chat"} if body.get("model") == NOBODY else body)),
    (laws.is_refused, BOTH, where(_refuses, status=500)),
    (laws.is_refused, BOTH, where(_refuses, status=409)),
    (laws.is_refused, BOTH, Defect(answers=_hidden)),
    (laws.is_refused, ("responses",), Keeping(for_ever=True)),
    (laws.is_refused, ("responses",), Defect(hears=without("previous_response_id"))),
    (laws.says_why, BOTH, where(_refuses, raw=b'{"detail": "Not Found"}')),
    (laws.says_why, BOTH, where(_refuses, raw=b'{"error": {"message": "no", "type": null}}')),
    (laws.says_why, BOTH, where(_refuses, raw=b'{"error": {"message": "", "type": "no"}}')),
    (laws.ids_are_never_reused, BOTH, plain(sets(id="it"))),
]  # fmt: skip


@pytest.mark.parametrize("dialect", BOTH)
def test_a_server_without_a_defect_breaks_no_law(dialect: str) -> None:
    report = judged(Holding() if dialect == "responses" else Defect(), dialect, examples=30)
    assert report.findings == []
    assert set(report.cases) >= {named(law) for law, dialects, _ in DEFECTS if dialect in dialects}


ALSO: dict[Any, set[str]] = {laws.ends_once: {named(laws.is_grammatical)}}
"""What comes after an end, and a failure's fields."""


@pytest.mark.parametrize(
    ("law", "dialect", "defect"),
    [
        pytest.param(law, dialect, defect, id=f"{law.__name__}-{place}-{dialect}")
        for place, (law, dialects, defect) in enumerate(DEFECTS)
        for dialect in dialects
    ],
)
def test_a_server_with_one_defect_breaks_the_law_against_it(law: Any, dialect: str, defect: Defect) -> None:
    also = ALSO.get(law, set())
    assert broken(judged(defect, dialect)) - also == {named(law)}


def test_no_law_is_without_a_defect() -> None:
    asked_for = {law for dialect in BOTH for law in laws_of(dialect)}  # type: ignore[arg-type]
    assert {law for law, _, _ in DEFECTS} == asked_for | {laws.ids_are_never_reused}
    assert all(law.__doc__ for law in asked_for)
