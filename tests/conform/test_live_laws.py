"""Every law of live servers can fail: for each there are servers with one defect, of which it and no other law speaks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.conform import strategies
from adapter.conform.live import following, laws
from adapter.conform.live.case import Answer, Case, named
from adapter.conform.live.questions import NOBODY, laws_of, questions
from adapter.conform.live.shapes import WORD, Exactly, Kinds, lacks
from adapter.conform.report import Known
from tests.conform.live import Defect, Keeping, asked, broken, judged

STREAM, DONE = "text/event-stream", b"data: [DONE]\n\n"
BOTH = ("chat", "responses")


def _plain(change: Callable[[Any], None]) -> Defect:
    """A defect in the objects of plain answers, wherever `change` finds what it changes."""

    def says(body: dict[str, Any], told: Any) -> Any:
        if told.get("object") in ("chat.completion", "response"):
            change(told)
        return told

    return Defect(says=says)


def _events(change: Callable[[Any], None]) -> Defect:
    """A defect in every event of streams: of Responses in the response that it carries."""

    def says(body: dict[str, Any], told: Any) -> Any:
        if told.get("object") == "chat.completion.chunk":
            change(told)
        elif isinstance(told.get("response"), dict):
            change(told["response"])
        return told

    return Defect(says=says)


def _bytes(change: Callable[[bytes], bytes]) -> Defect:
    """A defect in the bytes of streams."""
    return Defect(answers=lambda body, it: replace(it, raw=change(it.raw)) if it.media_type == STREAM else it)


def _calls(change: Callable[[list[dict[str, Any]]], None]) -> Defect:
    """A defect in the calls of plain answers, shown as Chat's functions or Responses' items."""

    def calls(told: Any) -> None:
        message = told["choices"][0]["message"] if "choices" in told else {}
        items = [item for item in told.get("output", ()) if item["type"] == "function_call"]
        change([*(call["function"] for call in message.get("tool_calls") or ()), *items])

    return _plain(calls)


def _each(**fields: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(calls: list[dict[str, Any]]) -> None:
        for call in calls:
            call.update(fields)

    return change


def _same_ids(told: Any) -> None:
    for call in told["choices"][0]["message"].get("tool_calls") or () if "choices" in told else ():
        call["id"] = "call_1"
    for item in told.get("output", ()):
        item["id"] = "fc_1"


def _set(**fields: Any) -> Callable[[Any], None]:
    """Sets fields that are there already."""

    def change(told: Any) -> None:
        told.update({key: value for key, value in fields.items() if key in told})

    return change


def _finish(old: str, new: str) -> Defect:
    def change(told: Any) -> None:
        for choice in told["choices"]:
            choice["finish_reason"] = new if choice["finish_reason"] == old else choice["finish_reason"]

    return _plain(change)


def _unfinished(told: Any) -> None:
    if told["status"] == "completed":
        told["output"][0]["status"] = "in_progress"


def _completed(told: Any) -> None:
    """As Ollama's responses end, at their limit as well."""
    told |= {"status": "completed", "incomplete_details": None}
    for item in told["output"]:
        item["status"] = "completed"


def _usage(told: Any) -> None:
    if told.get("usage"):
        told["usage"]["total_tokens"] += 1


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


def _counted(what: str, change: Callable[[dict[str, Any], str], Any]) -> Callable[[Any], None]:
    """A defect in the counts of what goes in (`what` is "input") or comes out."""
    names = {"input": ("prompt_tokens", "input_tokens"), "output": ("completion_tokens", "output_tokens")}[what]

    def count(told: Any) -> None:
        usage = told.get("usage") or {}
        for key in usage.keys() & {*names}:
            change(usage, key)

    return count


def _counts_nothing(usage: dict[str, Any], key: str) -> None:
    usage |= {key: 0, "total_tokens": usage["total_tokens"] - usage[key]}


def _counts_alike(usage: dict[str, Any], key: str) -> None:
    usage |= {key: 99, "total_tokens": usage["total_tokens"] - usage[key] + 99}


def _detailed(**kinds: int) -> Callable[[dict[str, Any], str], None]:
    return lambda usage, key: usage.update({f"{key}_details": {**(usage.get(f"{key}_details") or {}), **kinds}})


def _swallows(told: Any) -> None:
    """The text of long answers is lost, as by a parser of reasoning that never sees its end."""
    for choice in told.get("choices", ()):
        choice["message"]["content"] = None if choice["finish_reason"] == "stop" else choice["message"]["content"]
    if told.get("status") == "completed":
        told["output"] = [item for item in told["output"] if item["type"] != "message"]


def _always_cut(told: Any) -> None:
    for choice in told.get("choices", ()):
        choice["finish_reason"] = choice["finish_reason"] and "length"
    if told.get("status") == "completed":
        told |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}


def _texts(change: Callable[[str], str]) -> Defect:
    """A defect in the text of plain answers."""

    def fix(told: Any) -> None:
        for holder, key in _holders(told):
            holder[key] = holder[key] and change(holder[key])

    return _plain(fix)


def _holders(told: Any) -> list[tuple[Any, str]]:
    return [(choice["message"], "content") for choice in told.get("choices", ())] + [
        (part, "text") for item in told.get("output", ()) for part in item.get("content", ())
    ]


def _cut_characters(text: str) -> str:
    return re.sub("[^\x00-\x7f]", "\ufffd", text)


def _as_latin_1(text: str) -> str:
    return text.encode().decode("latin-1")


def _many_logprobs(told: Any) -> None:
    tokens = [(choice.get("logprobs") or {}).get("content") for choice in told.get("choices", ())]
    tokens += [part.get("logprobs") for item in told.get("output", ()) for part in item.get("content", ())]
    for token in (token for every in tokens for token in every or ()):
        token["top_logprobs"] = [{"token": "a", "logprob": -1.0, "bytes": []}] * 3


def _created(**fields: Any) -> Defect:
    """A defect in a stream's first event only: Chat's first chunk, the response of response.created."""

    def says(body: dict[str, Any], told: Any) -> Any:
        if told.get("type") == "response.created":
            told["response"].update(fields)
        return told

    return Defect(says=says)


def _ids_again() -> Defect:
    """A server that says the id of a call in each of its fragments: the SDKs append the one to the other."""
    ids: dict[int, str] = {}

    def change(delta: dict[str, Any]) -> None:
        for call in delta.get("tool_calls") or ():
            call["id"] = ids[call["index"]] = call.get("id") or ids[call["index"]]

    return _deltas(change)


def _compacted(change: Callable[[Any], Any]) -> Defect:
    def says(body: dict[str, Any], told: Any) -> Any:
        return (change(told) or told) if told.get("object") == "response.compaction" else told

    return Defect(says=says)


def _listed(change: Callable[[Any], Any]) -> Callable[[str, str, bytes], Answer]:
    """A defect in the list of models."""

    server = Keeping()

    def ask(method: str, path: str, raw: bytes) -> Answer:
        answer = server(method, path, raw)
        if path != "/models":
            return answer
        told = json.loads(answer.raw)
        change(told)
        return replace(answer, raw=json.dumps(told).encode())

    return ask


def _sealed(told: Any) -> list[Any]:
    return [item for item in told["output"] if item["type"] == "compaction"]


def _shown(wanted: str, change: Callable[[Any], Any]) -> Keeping:
    """A defect in what is fetched of stored responses; `wanted` is how its path ends."""
    return Keeping(shows=lambda path, told: (change(told) or told) if path.endswith(wanted) else told)


def _miscounts(body: dict[str, Any], told: Any) -> Any:
    _usage(told)
    return told


def _without(*keys: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda body: {key: value for key, value in body.items() if key not in keys}


def _if_choice(old: Any, new: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A server that takes one choice of tools, or those that name one, for another."""

    def hears(body: dict[str, Any]) -> dict[str, Any]:
        given = body.get("tool_choice")
        return {**body, "tool_choice": new} if given == old or (old is dict and isinstance(given, dict)) else body

    return hears


def _roomy(body: dict[str, Any]) -> dict[str, Any]:
    return {key: 1000 if key.startswith("max_") else value for key, value in body.items()}


def _counts(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "stream_options": {"include_usage": True}}


def _filled(change: Callable[[dict[str, Any]], None]) -> Defect:
    """A defect in what plain answers fill a schema with."""

    def fill(told: Any) -> None:
        for holder, key in _holders(told):
            if str(holder[key]).startswith('{"city"'):
                value = json.loads(holder[key])
                change(value)
                holder[key] = json.dumps(value)

    return _plain(fill)


def _hidden(body: dict[str, Any], answer: Answer) -> Answer:
    """An error as the only event of a stream."""
    if answer.status == 200 or body.get("stream") is not True:
        return answer
    return Answer(200, STREAM, b"event: error\ndata: " + answer.raw + b"\n\n")


def _if(wanted: Callable[[dict[str, Any], Answer], bool], **fields: Any) -> Defect:
    """Changes the facts of those answers that are wanted."""
    return Defect(answers=lambda body, answer: replace(answer, **fields) if wanted(body, answer) else answer)


def _refuses(body: dict[str, Any], answer: Answer) -> bool:
    return answer.status >= 400


def _on_tools(body: dict[str, Any], answer: Answer) -> bool:
    return "tools" in body


def _tail(raw: bytes) -> bytes:
    """The last event."""
    return raw.rstrip().rpartition(b"\n\n")[2] + b"\n\n"


def _twice(told: Any) -> None:
    for choice in list(told["choices"]):
        told["choices"].append({**choice, "index": 1})


def _deltas(change: Callable[[dict[str, Any]], None]) -> Defect:
    """A defect in the deltas of streams: Chat's delta, or an event of Responses that has one."""

    def says(body: dict[str, Any], told: Any) -> Any:
        if told.get("object") == "chat.completion.chunk":
            for choice in told["choices"]:
                change(choice["delta"])
        elif "delta" in told:
            change(told)
        return told

    return Defect(says=says)


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
    (laws.comes_whole, BOTH, _if(_on_tools, fault="the connection broke")),
    (laws.is_answered, BOTH, _if(_on_tools, status=500)),
    (laws.is_answered, BOTH, _if(lambda body, _: "function_call_output" in str(body) or "'tool'" in str(body), status=400)),
    (laws.is_answered, BOTH, Defect(answers=_failed)),
    (laws.is_json, BOTH, _if(lambda _, answer: answer.media_type != STREAM and answer.status == 200, media_type="")),
    (laws.is_json, BOTH, _if(_refuses, media_type="text/html")),
    (laws.is_json, BOTH, _if(_refuses, raw=b'"no"')),
    (laws.has_the_shape, BOTH, _plain(lambda told: told.pop("model"))),
    (laws.has_the_shape, BOTH, _plain(lambda told: told.pop("usage"))),
    (laws.has_the_shape, ("chat",), _plain(lambda told: told["choices"].append(told["choices"][0]))),
    (laws.has_the_shape, ("chat",), Defect(hears=lambda body: body if body.get("stream") else _without("n")(body))),
    (laws.has_the_shape, ("chat",), _events(_set(created="now"))),
    (laws.has_the_shape, ("chat",), _events(_set(created=1_764_000_000_000))),
    (laws.has_the_shape, ("chat",), _events(lambda chunk: chunk.update(service_tier=5))),
    (laws.has_the_shape, ("responses",), _created(temperature="1")),
    (laws.has_the_shape, BOTH, _plain(_counted("input", lambda usage, key: usage.update({f"{key}_details": 0})))),
    (laws.has_the_shape, ("responses",), _events(_set(tools=None))),
    (laws.has_the_shape, ("responses",), _plain(lambda told: told["usage"].pop("input_tokens_details"))),
    (laws.ends_as_it_says, ("chat",), _finish("tool_calls", "stop")),
    (laws.ends_as_it_says, ("chat",), _finish("stop", "tool_calls")),
    (laws.ends_as_it_says, ("chat",), _finish("tool_calls", "function_call")),
    (laws.ends_as_it_says, ("responses",), _plain(_set(status="queued"))),
    (laws.ends_as_it_says, ("responses",), _plain(_set(error={"code": "server_error", "message": "oh"}))),
    (laws.ends_as_it_says, ("responses",), _plain(_set(incomplete_details=None))),
    (laws.ends_as_it_says, ("responses",), _plain(_set(incomplete_details={"reason": "max_output_tokens"}))),
    (laws.ends_as_it_says, ("responses",), _plain(_unfinished)),
    (laws.usage_adds_up, BOTH, _plain(_usage)),
    (laws.usage_adds_up, BOTH, _events(_usage)),
    (laws.usage_adds_up, BOTH, _plain(_counts_no_output)),
    (laws.usage_adds_up, BOTH, _plain(_counted("input", _counts_nothing))),
    (laws.usage_adds_up, BOTH, _plain(_counted("input", _detailed(cached_tokens=999)))),
    (laws.usage_adds_up, BOTH, _events(_counted("output", _detailed(reasoning_tokens=999)))),
    (laws.usage_adds_up, BOTH, _plain(_counted("output", _detailed(reasoning_tokens=-1)))),
    (laws.calls_only_what_is_offered, BOTH, _calls(_each(name="rm"))),
    (laws.arguments_fit_their_schema, BOTH, _calls(_each(arguments="[]"))),
    (laws.arguments_fit_their_schema, BOTH, _calls(_each(arguments='{"town": "Paris"}'))),
    (laws.characters_come_whole, BOTH, _texts(_cut_characters)),
    (laws.characters_come_whole, BOTH, _texts(_as_latin_1)),
    (laws.characters_come_whole, ("chat",), _deltas(_garbles)),
    (laws.ids_are_distinct, BOTH, _plain(_same_ids)),
    (laws.repeats_its_request, ("responses",), _plain(_set(parallel_tool_calls=True))),
    (laws.repeats_its_request, ("responses",), _events(_set(tool_choice="auto"))),
    (laws.repeats_its_request, ("responses",), _plain(_set(tools=[]))),
    (laws.repeats_its_request, ("responses",), _plain(_set(text={"format": {"type": "text"}}))),
    (laws.repeats_its_request, ("responses",), Defect(says=_stores_all)),
    (laws.repeats_its_request, ("responses",), _plain(_set(previous_response_id="resp_1"))),
    (laws.keeps_its_limit, BOTH, Defect(hears=_roomy)),
    (laws.is_cut_at_its_limit, BOTH, _plain(_always_cut)),
    (laws.says_that_it_is_cut, ("chat",), _finish("length", "stop")),
    (laws.says_that_it_is_cut, ("responses",), _plain(_completed)),
    (laws.is_an_event_stream, BOTH, _if(lambda _, answer: answer.media_type == STREAM, media_type="application/json")),
    (laws.ends_once, BOTH, _bytes(lambda raw: raw + _tail(raw))),
    (laws.ends_once, BOTH, _bytes(lambda raw: raw.removesuffix(_tail(raw)))),
    (laws.ends_once, ("chat",), _bytes(lambda raw: raw.replace(DONE, b'data: {"error": {"message": "oh"}}\n\n'))),
    (laws.ends_once, ("chat",), _bytes(lambda raw: raw.replace(DONE, b'data: {"error": {"message": "oh"}}\n\n' + DONE))),
    (laws.ends_once, ("responses",), _bytes(lambda raw: raw.replace(b"response.completed", b"response.failed"))),
    (laws.is_grammatical, ("chat",), _bytes(lambda raw: raw.replace(b'"role":"assistant",', b""))),
    (laws.is_grammatical, ("responses",), _bytes(lambda raw: raw.replace(b"_number\":0", b"_number\":1"))),
    (laws.is_grammatical, BOTH, _bytes(lambda raw: raw.replace(b"data: {", b"data: {{", 1))),
    (laws.is_grammatical, BOTH, _bytes(lambda raw: b"\xef\xbb\xbf" + raw)),
    (laws.is_grammatical, ("chat",), _events(_set(object="chat.completion"))),
    (laws.is_grammatical, ("chat",), _events(_twice)),
    (laws.is_grammatical, ("chat",), _ids_again()),
    (laws.is_grammatical, ("chat",), Defect(hears=lambda body: _without("n")(body) if body.get("stream") else body)),
    (laws.is_grammatical, ("chat",), _deltas(lambda delta: delta.update(role=delta.get("role", "tool")))),
    (laws.is_grammatical, ("chat",), _deltas(_half)),
    (laws.is_grammatical, BOTH, _deltas(_in_parts)),
    (laws.is_grammatical, ("chat",), _deltas(_null_arguments)),
    (laws.is_grammatical, ("responses",), _deltas(lambda told: told.pop("item_id", None))),
    (laws.usage_comes_as_asked, ("chat",), Defect(hears=_without("stream_options"))),
    (laws.usage_comes_as_asked, ("chat",), Defect(hears=_counts)),
    (laws.usage_comes_as_asked, ("responses",), _events(_set(usage=None))),
    (laws.calls_only_what_is_offered, BOTH, Defect(hears=_if_choice("none", "auto"))),
    (laws.calls_only_what_is_offered, BOTH, Defect(hears=_if_choice(dict, "required"))),
    (laws.calls_when_it_must, BOTH, Defect(hears=_if_choice("required", "auto"))),
    (laws.calls_when_it_must, BOTH, Defect(hears=_if_choice(dict, "none"))),
    (laws.calls_one_at_a_time, BOTH, Defect(hears=_without("parallel_tool_calls"))),
    (laws.stops_before_its_stop, ("chat",), Defect(hears=_without("stop"))),
    (laws.tells_its_logprobs, BOTH, Defect(hears=_without("logprobs", "include"))),
    (laws.tells_its_logprobs, BOTH, _plain(_many_logprobs)),
    (following.counts_what_is_added, BOTH, _plain(_counted("input", _counts_alike))),
    (following.counts_what_is_added, ("responses",), Keeping(forgets=True)),
    (following.counts_what_is_added, BOTH, Defect(hears=_hears_the_last)),
    (following.lists_its_models, BOTH, _listed(lambda told: told.update(object="models"))),
    (following.lists_its_models, BOTH, _listed(lambda told: told.update(data=[{"id": "m", "object": "model"}]))),
    (following.is_not_kept, ("responses",), Keeping(always=True)),
    (following.is_what_was_said, ("responses",), _shown("", lambda told: told.update(id="resp_1") if "output" in told else None)),
    (following.is_what_was_said, ("responses",), _shown("", lambda told: told.update(output=[NATIVE]) if "output" in told else None)),
    (following.lists_its_input, ("responses",), _shown("items", lambda told: told.update(data=[]))),
    (following.lists_its_input, ("responses",), _shown("items", lambda told: told.pop("has_more") and None)),
    (following.is_compacted, ("responses",), _compacted(lambda told: told.update(object="response"))),
    (following.is_compacted, ("responses",), _compacted(lambda told: told.update(output=_sealed(told) * 2))),
    (following.is_compacted, ("responses",), _compacted(lambda told: [one.pop("encrypted_content") for one in _sealed(told)] and None)),
    (following.is_compacted, ("responses",), _compacted(lambda told: told.pop("usage") and None)),
    (laws.fits_its_schema, BOTH, Defect(hears=_fits_nothing)),
    (laws.is_a_json_object, BOTH, Defect(hears=_knows_schemas_only)),
    (laws.fits_its_schema, BOTH, _filled(lambda value: value.update(people="many"))),
    (laws.fits_its_schema, BOTH, _filled(lambda value: value.pop("city"))),
    (laws.fits_its_schema, BOTH, _filled(lambda value: value.update(mayor="?"))),
    (laws.is_refused, BOTH, Defect(hears=lambda body: {**body, "model": body["model"].replace(NOBODY, "demo-chat")})),
    (laws.is_refused, BOTH, _if(_refuses, status=500)),
    (laws.is_refused, BOTH, _if(_refuses, status=409)),
    (laws.is_refused, BOTH, Defect(answers=_hidden)),
    (laws.is_refused, ("responses",), Keeping(for_ever=True)),
    (laws.is_refused, ("responses",), Defect(hears=_without("previous_response_id"))),
    (laws.says_why, BOTH, _if(_refuses, raw=b'{"detail": "Not Found"}')),
    (laws.says_why, BOTH, _if(_refuses, raw=b'{"error": {"message": "no", "type": null}}')),
    (laws.says_why, BOTH, _if(_refuses, raw=b'{"error": {"message": "", "type": "no"}}')),
    (laws.ids_are_never_reused, BOTH, _plain(_set(id="it"))),
]  # fmt: skip


@pytest.mark.parametrize("dialect", BOTH)
def test_results_are_sent_back_for_calls_that_wait_for_them(dialect: str) -> None:
    told: list[str] = []
    judged(Defect(), dialect, tell=told.append)
    calls = ["a call that must be", "a call that must be, streamed", "two calls at once"]
    calls += ["a call of a custom tool, streamed"] if dialect == "responses" else []
    assert [line for line in told if "results" in line] == [f"ok    {name}, then results" for name in calls]


@pytest.mark.parametrize("dialect", BOTH)
def test_a_model_that_calls_nothing_where_it_need_not_gets_no_results(dialect: str) -> None:
    told: list[str] = []
    shy = Defect(hears=lambda body: body if "tool_choice" in body else _without("tools")(body))
    assert judged(shy, dialect, tell=told.append).findings == []
    assert not any("two calls at once, then" in line for line in told)


@pytest.mark.parametrize("dialect", BOTH)
def test_a_server_without_a_defect_breaks_no_law(dialect: str) -> None:
    report = judged(Keeping() if dialect == "responses" else Defect(), dialect, examples=30)
    assert report.findings == []
    assert set(report.cases) >= {named(law) for law, dialects, _ in DEFECTS if dialect in dialects}


def _leaves_out_nulls(told: Any) -> None:
    for choice in told["choices"]:
        for key in [key for key, value in choice.items() if value is None]:
            del choice[key]


def test_a_stream_that_leaves_out_what_clients_read_as_null_breaks_no_law() -> None:
    """LiteLLM's chunks have a finish_reason only at the end."""
    assert judged(_events(_leaves_out_nulls), "chat").findings == []


def _nulls_for_what_was_said(delta: dict[str, Any]) -> None:
    for call in delta.get("tool_calls") or ():
        if "id" not in call:
            call["id"] = call["function"]["name"] = None


def test_nulls_in_later_fragments_of_a_call_break_no_law() -> None:
    """SGLang repeats the id and the name of a call so; the SDKs pass them over."""
    assert judged(_deltas(_nulls_for_what_was_said), "chat").findings == []


def test_what_every_event_of_a_stream_breaks_is_one_finding() -> None:
    """LiteLLM's Responses streams have no event lines."""
    nameless = _bytes(lambda raw: b"\n".join(line for line in raw.split(b"\n") if not line.startswith(b"event:")))
    (found,) = [told for law, case, told in judged(nameless, "responses").findings if case == "a stream"]
    assert found.startswith("sse.event_missing at event[0]: no event line for response.created (and later ones): «{")


def test_what_breaks_the_grammar_is_shown_with_its_event() -> None:
    """A ping that Chat has no name for."""
    ping = _bytes(lambda raw: raw.replace(b"\n\n", b'\n\nevent: ping\ndata: {"type": "ping"}\n\n', 1))
    told = [line.strip() for line in judged(ping, "chat").text().splitlines() if "malformed" in line]
    cases = "a stop sequence, streamed; two choices, streamed; a stream; 9 more"
    event = '«{"type": "ping"}»'
    assert told == [f"is-grammatical · {cases}: malformed at chunk[1]: a chunk without a list of choices: {event}"]


def test_a_failure_inside_a_stream_is_shown_and_told_once() -> None:
    """Whatever was said before it."""
    failure = b'data: {"error": {"message": "CUDA is out of memory"}}\n\n'
    fails = _bytes(lambda raw: b"\n\n".join(raw.split(b"\n\n")[:3]) + b"\n\n" + failure)
    report = judged(fails, "chat", examples=20)
    told = [line for line in report.text().splitlines() if " · " in line]
    assert len(told) == 1
    assert told[0].endswith('expected [DONE]; its last event: «{"error": {"message": "CUDA is out of memory"}}»')


def test_whatever_ends_a_stream_too_early_is_named_too() -> None:
    """Events without blank lines between them: no client sees one."""
    found = judged(_bytes(lambda raw: raw.replace(b"\n\n", b"\n")), "responses").findings
    assert ("is-grammatical", "a stream", "empty at end: no events") in found


def test_nobody_goes_on_from_a_stream_that_adds_up_to_nothing() -> None:
    """Where its calls were is known to nobody."""
    report = judged(_events(lambda chunk: chunk.update(choices=None)), "chat")
    assert broken(report) == {"is-grammatical"}
    assert not any("then results" in case for _, case, _ in report.findings)


def test_the_request_that_shows_a_fault_is_shown() -> None:
    report = judged(Defect(hears=_without("stop")), "chat")
    method, path, body = report.asked["a stop sequence"]
    assert (method, path, json.loads(body)["stop"]) == ("POST", "/chat/completions", "l")
    assert f"asked a stop sequence: POST /chat/completions {body}" in report.text().splitlines()
    told = json.loads(report.json())["requests"]["a stop sequence"]
    assert told == {"method": method, "path": path, "body": body}


def test_what_all_answers_break_alike_is_told_once() -> None:
    report = judged(_plain(lambda told: told.pop("model")), "chat")
    assert len(report.findings) > 5
    cases = f"a tiny {NEW}; a tiny {OLD}; a plain answer; {len(report.findings) - 3} more"
    told = [line.strip() for line in report.text().splitlines() if " · " in line]
    assert told == [f"has-the-shape · {cases}: model is missing"]
    assert report.remarks == [("the limit of all other questions", NEW)], "another fault is none of the limit"


def test_a_stream_that_breaks_the_grammar_and_adds_up_is_judged_for_what_it_says() -> None:
    """A server without event lines may also count wrongly: one run shows both."""

    def wrong(body: dict[str, Any], told: Any) -> Any:
        if isinstance(told.get("response"), dict):
            _usage(told["response"])
        return told

    def nameless(body: dict[str, Any], answer: Answer) -> Answer:
        return replace(answer, raw=re.sub(rb"event: .*\n", b"", answer.raw))

    report = judged(Defect(says=wrong, answers=nameless), "responses")
    assert broken(report) == {"is-grammatical", "usage-adds-up"}


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


# ------------------------------------------------------------------------------------------------ what is not supported


def _lacks(message: str, param: str | None) -> Defect:
    refusal = {"error": {"message": message, "type": "invalid_request_error", "param": param}}

    def answers(body: dict[str, Any], answer: Answer) -> Answer:
        if "response_format" not in body and "format" not in body.get("text", {}):
            return answer
        return Answer(400, "application/json", json.dumps(refusal).encode())

    return Defect(answers=answers)


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("refusal", [("json_schema is not supported", None), ("No.", "text.format")])
def test_a_feature_that_is_refused_by_name_is_not_supported_and_breaks_nothing(
    dialect: str, refusal: tuple[str, str | None]
) -> None:
    report = judged(_lacks(*refusal), dialect)
    assert report.ok
    remarks = [case for case, told in report.remarks if "not supported" in told]
    assert [case for case in remarks if "JSON" in case] == ["a JSON object", "a JSON schema", "a JSON schema, streamed"]
    assert "not supported" in report.text()


@pytest.mark.parametrize("dialect", BOTH)
def test_a_feature_that_is_refused_without_its_name_is_broken(dialect: str) -> None:
    assert broken(judged(_lacks("Bad request.", None), dialect)) == {"is-answered"}


# ------------------------------------------------------------------------------------------------------- the limit's name

OLD, NEW = "max_tokens", "max_completion_tokens"


def _refusing(key: str, told: set[str]) -> Defect:
    """A server that knows a limit by one name only; `told` takes the limits of the requests that it answers."""
    refusal = {"error": {"message": f"Unknown parameter: {key}", "type": "invalid_request_error", "param": key}}

    def answers(body: dict[str, Any], answer: Answer) -> Answer:
        if key in body:
            return Answer(400, "application/json", json.dumps(refusal).encode())
        told.update(body.keys() & {OLD, NEW} if answer.status == 200 else ())
        return answer

    return Defect(answers=answers)


@pytest.mark.parametrize(("lacks_it", "has_it"), [(NEW, OLD), (OLD, NEW)])
def test_a_server_that_takes_one_name_of_the_limit_is_asked_by_that_name(lacks_it: str, has_it: str) -> None:
    """What is drawn, too. The other name is not supported, and nothing is broken."""
    told: set[str] = set()
    report = judged(_refusing(lacks_it, told), "chat", examples=5)
    assert report.ok, report.text()
    assert told == {has_it}
    assert report.cases["is-answered"] == 30
    assert (f"a tiny {lacks_it}", f"not supported: 'Unknown parameter: {lacks_it}'") in report.remarks
    assert ("the limit of all other questions", f"{has_it}; {lacks_it} is not taken") in report.remarks


def test_a_server_that_takes_no_notice_of_the_limits_new_name_breaks_the_law_once_and_is_asked_by_its_old_one() -> None:
    report = judged(Defect(hears=_without(NEW)), "chat")
    assert [(law, case) for law, case, _ in report.findings] == [("keeps-its-limit", f"a tiny {NEW}")]
    assert ("the limit of all other questions", f"{OLD}; {NEW} is not taken") in report.remarks


def test_a_server_that_never_ends_without_its_own_name_of_the_limit_is_asked_by_that_name() -> None:
    """Ollama knows no max_completion_tokens, and a model may go on for ever."""
    report = judged(_if(lambda body, _: NEW in body, status=0, raw=b"", fault="not finished within 60 s"), "chat")
    assert [(law, case) for law, case, _ in report.findings] == [("comes-whole", f"a tiny {NEW}")]
    assert ("the limit of all other questions", f"{OLD}; {NEW} is not taken") in report.remarks


def test_a_server_that_takes_both_names_is_asked_by_the_new_one() -> None:
    assert judged(Defect(), "chat").remarks == [("the limit of all other questions", NEW)]
    assert judged(Keeping(), "responses").remarks == []


def test_a_server_that_takes_no_limit_is_told_of() -> None:
    """It is asked all the same; what it answers may be long."""
    report = judged(Defect(hears=_without(NEW, OLD)), "chat")
    assert broken(report) == {"keeps-its-limit"}
    ((_, told),) = report.remarks
    assert told == f"none that the server keeps ({NEW}, {OLD}): answers may be long, and cost more"


# ------------------------------------------------------------------------------------------------------------- drawing


@pytest.mark.parametrize(("dialect", "field"), [("chat", "messages"), ("responses", "input")])
def test_the_smallest_request_that_breaks_a_server_is_shown(dialect: str, field: str) -> None:
    """A server that fails on a parameter that no fixed question has."""
    failing = Defect(answers=lambda body, answer: replace(answer, status=500) if "temperature" in body else answer)
    report = judged(failing, dialect, examples=40, seed=3)
    ((law, case, finding),) = report.findings
    assert (law, case) == ("any-request-is-answered-or-refused", "--seed 3")
    assert finding.startswith("is-answered: status 500: ")
    smallest = json.loads(finding.partition("the smallest request: ")[2])
    assert smallest["temperature"] == 0
    assert smallest[field] in ("0", [{"role": "user", "content": "0"}])
    assert not smallest.keys() & {"tools", "instructions", "reasoning", "reasoning_effort", "response_format"}
    assert judged(failing, dialect, examples=40, seed=3).json() == report.json()


def test_another_failure_than_those_that_are_told_is_searched_for() -> None:
    """A server without tools that also crashes on a parameter: what it says of either tells them apart."""

    def answers(body: dict[str, Any], answer: Answer) -> Answer:
        if "temperature" in body:
            return Answer(
                500, "application/json", b'{"error": {"message": "division by zero", "type": "server_error"}}'
            )
        if "tools" in body:
            return Answer(500, "application/json", b'{"error": {"message": "not implemented", "type": "server_error"}}')
        return answer

    found = {law: told for law, _, told in judged(Defect(answers=answers), "chat", examples=40, seed=3).findings}
    assert "not implemented" in found["is-answered"]
    assert "division by zero" in found["any-request-is-answered-or-refused"]


def test_what_another_law_says_in_the_same_words_is_another_failure() -> None:
    """vLLM's responses have no `error`; where this server refuses a temperature, it does not say why either."""

    def answers(body: dict[str, Any], answer: Answer) -> Answer:
        if "temperature" in body:
            return Answer(400, "application/json", b'{"detail": "no"}')
        return answer

    def says(body: dict[str, Any], told: Any) -> Any:
        (told.get("response") or told).pop("error", None)
        return told

    report = judged(Defect(says=says, answers=answers), "responses", examples=40, seed=3)
    found = {law: told for law, _, told in report.findings}
    assert found["has-the-shape"] == "error is missing"
    assert found["any-request-is-answered-or-refused"].startswith("says-why: error is missing; ")


def test_how_many_of_the_drawn_requests_were_refused_is_told() -> None:
    statuses: list[int] = []

    def answers(body: dict[str, Any], answer: Answer) -> Answer:
        statuses.append(answer.status)
        return answer

    judged(Defect(answers=answers), "chat")
    fixed = len(statuses)
    report = judged(Defect(answers=answers), "chat", examples=30, seed=3)
    refused = statuses[2 * fixed :].count(400)
    assert refused
    assert report.remarks[-1][1].endswith(f"; {refused} were refused")


def test_a_stream_without_its_done_is_judged_for_what_it_says() -> None:
    """The server of transformers sends no [DONE]; that its usage is wrong is seen all the same."""
    report = judged(
        Defect(
            says=_miscounts,
            answers=lambda body, it: replace(it, raw=it.raw.removesuffix(DONE)),
        ),
        "chat",
    )
    assert {law for law, case, _ in report.findings if case == "a stream with usage"} == {"ends-once", "usage-adds-up"}


def test_an_answer_without_a_field_is_judged_for_the_others() -> None:
    """vLLM's responses have no `error`; that they end as they say is seen all the same."""

    def change(told: Any) -> None:
        del told["error"]
        told["incomplete_details"] = {"reason": "max_output_tokens"}

    report = judged(_plain(change), "responses")
    assert broken(report) == {"has-the-shape", "ends-as-it-says"}


def test_arguments_of_a_tool_that_is_not_strict_are_the_models() -> None:
    """A model without a mind calls with `0.0`; the OpenAPI file promises nothing else."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "call f"}], "tools": [tool]}
    said = json.loads(asked("POST", "/chat/completions", json.dumps(body).encode()).raw)
    said["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = "0.0"
    raw = json.dumps(said).encode()
    assert laws.arguments_fit_their_schema(_case("chat", body, "application/json", raw)) == []
    tool["function"]["strict"] = True  # type: ignore[index]
    found = laws.arguments_fit_their_schema(_case("chat", body, "application/json", raw))
    assert found == ["arguments of 'f': '0.0' is no JSON object"]


@pytest.mark.parametrize("parameters", [5, {}, {"properties": 5}, {"properties": {"a": 5}}, {"properties": {"a": {}}}])
def test_arguments_of_a_strict_tool_with_other_parameters_than_the_kits_are_any_object(parameters: Any) -> None:
    """A drawn request may hold anything there."""
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    raw = asked(
        "POST", "/responses", json.dumps({"model": "demo-responses", "input": "call f", "tools": [tool]}).encode()
    ).raw
    body = {"input": "call f", "tools": [{**tool, "strict": True, "parameters": parameters}]}
    assert laws.arguments_fit_their_schema(_case("responses", body, "application/json", raw)) == []


@pytest.mark.parametrize("dialect", BOTH)
def test_what_is_drawn_tells_no_fault_again_and_searches_for_none_that_is_told(dialect: str) -> None:
    """Every answer lacks something: the table says so, and no request is made small for it."""
    report = judged(_plain(lambda told: told.pop("model")), dialect, examples=20, seed=3)
    assert broken(report) == {"has-the-shape"}
    assert report.cases["any-request-is-answered-or-refused"] <= 20
    assert "answered with faults that are told above or known" in report.remarks[-1][1]


def test_a_law_that_is_known_to_be_broken_is_not_searched_for_among_what_is_drawn() -> None:
    """The finding quotes the answer, so each drawn one has a new one."""

    def counts_nothing(told: Any) -> None:
        told["usage"] |= {"completion_tokens": 0, "total_tokens": told["usage"]["prompt_tokens"]}

    report = judged(_plain(counts_nothing), "chat", examples=20, seed=3, known=[Known("usage-adds-up")])
    assert broken(report) == {"usage-adds-up"}
    assert report.ok


def test_a_fault_that_streams_have_is_told_of_a_drawn_plain_answer() -> None:
    """It fails all streams, and where a temperature is asked for."""
    failing = Defect(
        answers=lambda body, it: replace(it, status=500) if body.get("stream") or "temperature" in body else it
    )
    (found,) = [told for law, _, told in judged(failing, "chat", examples=40, seed=3).findings if law.startswith("any")]
    assert '"stream"' not in found


def test_a_server_that_answers_differently_each_time_confuses_no_search() -> None:
    """Only the first answer to a request counts, so what was broken once is found."""
    told: list[dict[str, Any]] = []

    def moody(body: dict[str, Any], answer: Answer) -> Answer:
        if "temperature" not in body:
            return answer
        told.append(body)
        return replace(answer, status=500) if len(told) == 1 else answer

    report = judged(Defect(answers=moody), "chat", examples=40, seed=3)
    assert broken(report) == {"any-request-is-answered-or-refused"}


def test_a_search_costs_no_more_than_its_bound() -> None:
    """Everything is broken: still no request is asked twice, and the way down is short."""
    count = 0

    def ask(method: str, path: str, raw: bytes) -> Answer:
        nonlocal count
        count += 1
        return asked(method, path, raw)

    judged(ask, "chat")
    fixed, count = count, 0
    assert fixed < 45

    def failing(method: str, path: str, raw: bytes) -> Answer:
        answer = ask(method, path, raw)
        return replace(answer, status=500) if answer.status == 200 and b'"content":"Say hello."' not in raw else answer

    judged(failing, "chat", examples=5)
    assert count - fixed <= 5 + 60


# ------------------------------------------------------------------------------------------------------------- judging


def _case(dialect: str, body: dict[str, Any], kind: str, raw: bytes, status: int = 200) -> Case:
    return Case(questions(dialect)[0], body, Answer(status, kind, raw))  # type: ignore[arg-type]


def test_calls_are_forbidden_by_tool_choice_none() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "call f"}], "tools": [tool]}
    raw = asked("POST", "/chat/completions", json.dumps(body).encode()).raw
    assert laws.calls_only_what_is_offered(_case("chat", body, "application/json", raw)) == []
    refused = laws.calls_only_what_is_offered(_case("chat", {**body, "tool_choice": "none"}, "application/json", raw))
    assert refused == ["tool_choice is 'none', and f is called"]
    named_one = {**body, "tool_choice": {"type": "function", "function": {"name": "f"}}}
    said = json.loads(raw)
    said["choices"][0]["finish_reason"] = "stop"
    assert laws.ends_as_it_says(_case("chat", named_one, "application/json", json.dumps(said).encode())) == []


@st.composite
def _spoilt(draw: st.DrawFn, value: Any) -> Any:
    """`value` with any JSON somewhere inside it, or without something."""
    if not isinstance(value, (dict, list)) or not value or draw(st.integers(0, 5)) == 0:
        return draw(strategies.json_values)
    copy: Any = value.copy()
    key = draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
    if draw(st.integers(0, 5)) == 0:
        del copy[key]
    else:
        copy[key] = draw(_spoilt(value[key]))
    return copy


ASKED: Any = {
    "chat": {"messages": [{"role": "user", "content": "call f and g"}], "max_completion_tokens": 50},
    "responses": {"input": "call f and g", "max_output_tokens": 50},
}
TOOLS: Any = {
    "chat": [{"type": "function", "function": {"name": name, "parameters": {}}} for name in "fg"],
    "responses": [{"type": "function", "name": name, "parameters": {}} for name in "fg"],
}


@pytest.mark.parametrize("dialect", BOTH)
@given(data=st.data())
def test_no_answer_makes_a_law_raise(dialect: str, data: st.DataObject) -> None:
    """Whatever comes back is judged, and the finding says what it is."""
    body = {
        "model": "demo-chat",
        "tools": data.draw(st.sampled_from([TOOLS[dialect], 5, [{}]])),
        **ASKED[dialect],
    }
    streams = data.draw(st.booleans())
    path = questions(dialect)[0].path  # type: ignore[arg-type]
    raw = asked("POST", path, json.dumps({**body, "tools": TOOLS[dialect], "stream": streams}).encode()).raw
    every = (*(laws.STREAM if streams else laws.PLAIN), laws.calls_when_it_must)
    if streams:
        raw = data.draw(strategies.damaged(raw))
    else:
        raw = json.dumps(data.draw(_spoilt(json.loads(raw)))).encode()
    kind = STREAM if streams else "application/json"
    for _, found in laws.judged(_case(dialect, body, kind, raw), every):
        assert all(isinstance(finding, str) for finding in found)
    list(laws.judged(_case(dialect, body, "application/json", raw, 400), laws.REFUSAL))


@pytest.mark.parametrize(
    ("value", "wanted", "found"),
    [
        ({"a": 1, "more": 2}, {"a": int, "b?": str}, []),
        ({"a": True}, {"a": int}, ["a is True, expected an integer"]),
        ({"a": 1}, {"a": float}, []),
        ({}, {"a": int}, ["a is missing"]),
        ({"a": {"b": [1, "x"]}}, {"a": {"b": [int]}}, ["a.b[1] is 'x', expected an integer"]),
        ({"a": 0}, {"a": ("x", None)}, ["a is 0, expected 'x' or null"]),
        ({"a": {"b": 0}}, {"a": (None, {"b": str})}, ["a.b is 0, expected a string"]),
        ({"a": [5]}, {"a": (None, [str])}, ["a[0] is 5, expected a string"]),
        ({"a": []}, {"a": (None, {"b": str})}, ["a is [], expected null or an object"]),
        ([], Exactly((int,)), ["the body has 0 members, expected 1"]),
        ([1, "x"], Exactly((0, int)), ["[0] is 1, expected 0", "[1] is 'x', expected an integer"]),
        ({"a": 5}, {"a": Exactly((int,))}, ["a is 5, expected a list"]),
        ({"a": ""}, {"a": WORD}, ["a is '', expected a string that is not empty"]),
        ({"a": 5}, {"a": (None, WORD)}, ["a is 5, expected null or a string that is not empty"]),
        ({"a": False}, {"a": 0}, ["a is False, expected 0"]),
        ({"type": "t", "x": 1}, Kinds({"t": {"x": str}}), ["x is 1, expected a string"]),
        ({"type": "new"}, Kinds({"t": {"x": str}}), []),
        ({}, Kinds({}), ["type is missing"]),
        (None, {"a": int}, ["the body is None, expected an object"]),
    ],
)
def test_a_shape_says_where_an_object_is_not_like_it(value: Any, wanted: Any, found: list[str]) -> None:
    assert list(lacks(value, wanted)) == found
