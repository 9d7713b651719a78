"""What any server's answers must keep. Each law takes a case and returns findings; none, and the law holds.

Laws stand in a tuple in the order in which they are asked. Those in `GATES` end the asking when they are broken: what is no
JSON has no shape. What has a shape of its own is read as far as that goes: one run shows as much as it can.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from adapter.conform.acting import offered
from adapter.conform.laws import Findings, data_of
from adapter.conform.live.case import STREAM_TYPE, Answer, Case, Law
from adapter.conform.live.dialect import ERROR, qualified
from adapter.conform.live.shapes import lacks
from adapter.conform.report import quoted
from adapter.hub.grammar.violation import shown
from adapter.wire import jsonio
from adapter.wire.sse import BOM

_UNSAID: Final = 4
"""Tokens that an answer may take without a word: those that end it."""
_GARBLED: Final = re.compile("[\x80-\xff]{2,}")
"""How text beyond ASCII looks whose UTF-8 was read as Latin-1."""
_BLANK_LINE: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_BEFORE: Final = 40
"""Bytes that a finding shows in front of where JSON ends to be some."""
_TRIED_AGAIN: Final = (408, 409, 429)
"""Statuses after which SDKs send the same once more."""


def judged(case: Case, laws: Iterable[Law]) -> Iterator[tuple[Law, Findings]]:
    """Each law with what it found, up to the first broken gate; without those that a misshapen answer leaves nothing to read."""
    broken = False
    for law in laws:
        if broken and law not in OF_BYTES and not isinstance(case.value, dict):
            return
        try:
            found = law(case)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            if not broken:
                raise
            continue
        yield law, found
        broken = broken or bool(found)
        if found and law in GATES:
            return


# -------------------------------------------------------------------------------------------------------- every answer


def comes_whole(case: Case) -> Findings:
    """An answer comes, in time and to the end that its headers promise (RFC 9112, section 8)."""
    return [case.answer.fault] if case.answer.fault else []


def is_answered(case: Case) -> Findings:
    """A good request is answered with the status 200, the one success of both APIs in OpenAI's OpenAPI file."""
    if case.answer.status != 200:
        return [f"status {case.answer.status}: {case.answer.excerpt}"]
    failed = isinstance(case.value, dict) and "object" not in case.value and case.value.get("error") is not None
    return [f"the status is 200, and the body an error: {case.answer.excerpt}"] if failed else []


def is_json(case: Case) -> Findings:
    """Plain answers and refusals are JSON objects, and say so in their content type; SDKs do not parse anything else."""
    if case.answer.media_type != "application/json":
        kind = case.answer.media_type or "missing"
        return [f"the content type is {kind}, expected application/json: {case.answer.excerpt}"]
    return [] if isinstance(case.value, dict) else [f"the body is {_instead_of_json(case.answer)}"]


def has_the_shape(case: Case) -> Findings:
    """The answer's object has the fields that OpenAI's OpenAPI file requires, of their types; so has what a stream adds up to.

    Where the SDKs read a required field as null when it is absent (Chat's refusal and logprobs), so does this law. What an event
    holds is told where the answer does not lack the same.
    """
    if case.value is None:
        return ["the events do not add up to an answer"]
    counts, streamed = case.dialect.usage_shape, case.answer.media_type == STREAM_TYPE
    usage = (None, counts) if streamed else counts  # a stream has a law of its own for it
    found = list(lacks(case.value, {**case.dialect.shape(case.body), "usage": usage}))
    for place, told, shape in case.dialect.events(case.body, case.answer.raw) if streamed else ():
        found += [f"{place}.{lack}" for lack in lacks(told, shape) if not any(other.endswith(lack) for other in found)]
    return found


def ends_as_it_says(case: Case) -> Findings:
    """finish_reason, or status with its details, agrees with what the answer holds: agents decide by it what to do next.

    vLLM says of Chat, after OpenAI: `tool_calls` for calls under `auto` and `required`, `stop` for a call that was named.
    """
    return case.dialect.finish_problems(case.body, case.value)


def usage_adds_up(case: Case) -> Findings:
    """Input and output tokens are the total, as both usage objects define it, none is negative, and no kind of them is more than
    they are; what is asked took some, and what is said: bills are made of them."""
    if case.value.get("usage") is None:
        return []
    usage = case.dialect.usage(case.value)
    found = [f"negative usage: {usage}"] if min(usage) < 0 else []
    if usage.input == 0:
        found.append("0 input tokens for a request")
    if usage.output == 0 and (said := case.dialect.text(case.value) or case.dialect.calls(case.value)):
        found.append(f"0 output tokens for {shown(said)}")
    if usage.output > _UNSAID and case.dialect.silent(case.value) and not case.dialect.cut(case.value):
        found.append(f"{usage.output} output tokens, and nothing is said")
    if usage.input + usage.output != usage.total:
        found.append(f"{usage.input} + {usage.output} tokens are said to be {usage.total}")
    for kind, count, whole in case.dialect.usage_details(case.value):
        if not 0 <= count <= max(whole, 0):
            found.append(f"{kind} is {count} of {whole} tokens")
    return found


def calls_only_what_is_offered(case: Case) -> Findings:
    """A call names a tool of the request, with its namespace where it has one; `tool_choice: none` forbids all, and a tool's name
    all others (OpenAPI file). Codex runs no tool that is called otherwise.
    """
    names = {call.name for call in case.dialect.calls(case.value)}
    choice = case.body.get("tool_choice")
    if names and choice == "none":
        return [f"tool_choice is 'none', and {', '.join(sorted(names))} is called"]
    only = _chosen(choice)
    if only is not None:
        return [f"tool_choice names {shown(only)}, and {shown(name)} is called" for name in sorted(names - {only})]
    tools = _strictness(case.body)
    if tools is None:
        return []
    told = ", ".join(sorted(tools)) or "nothing"
    return [f"{shown(name)} is called, offered: {told}" for name in sorted(names - tools.keys())]


def arguments_fit_their_schema(case: Case) -> Findings:
    """A call of a strict tool has arguments that fit its parameters (guide to function calling), unless the answer was cut.

    What a model writes for other tools is not the server's to promise (OpenAPI file, arguments).
    """
    if case.dialect.cut(case.value):
        return []
    tools = _strictness(case.body) or {}
    written = [(call.name, call.arguments, tools.get(call.name)) for call in case.dialect.calls(case.value)]
    return [
        f"arguments of {shown(name)}: {lack}"
        for name, text, properties in written
        if text is not None and properties is not None
        for lack in _misfits(text, properties)
    ]


def characters_come_whole(case: Case) -> Findings:
    """No character is cut between its bytes, and UTF-8 is not read as Latin-1: what was said is what is shown (RFC 8259, section
    8.1). What the request itself says so is its own, and the end of an answer that was cut is nobody's.
    """
    said = [case.dialect.text(case.value), *(call.arguments or "" for call in case.dialect.calls(case.value))]
    asked = jsonio.dumps(case.body).decode()
    found = []
    for text in said:
        if "\ufffd" in text and "\ufffd" not in asked and not case.dialect.cut(case.value):
            found.append(f"U+FFFD stands where a character was cut: {shown(text)}")
        found += [f"{run!r} is {right!r} read as Latin-1" for run, right in _garbled(text) if run not in asked]
    return found


def ids_are_distinct(case: Case) -> Findings:
    """No two items of an answer share an id, and no two calls: results name their call by it."""
    items, calls = case.dialect.item_ids(case.value), [call.id for call in case.dialect.calls(case.value)]
    return [f"the id {shown(own)} is used twice" for own in (*_twice(items), *_twice(calls))]


def repeats_its_request(case: Case) -> Findings:
    """What a response says that it was asked (OpenAPI file, ResponseProperties) is what it was asked, or is left out: clients read
    there whether they are stored, which tools the model had, and what a conversation goes on from. What is fetched repeats what
    it once answered.
    """
    body = case.body if case.body or case.before is None else case.before.body
    return [
        f"{key} is {shown(told)}, asked: {shown(asked)}" for key, asked, told in case.dialect.echoes(body, case.value)
    ]


# ------------------------------------------------------------------------------------------------------------- streams


def is_an_event_stream(case: Case) -> Findings:
    """A stream is `text/event-stream` (WHATWG HTML, server-sent events); browsers and SDKs refuse anything else."""
    kind = case.answer.media_type
    return (
        []
        if kind == STREAM_TYPE
        else [f"the content type is {kind or 'missing'}, expected {STREAM_TYPE}: {case.answer.excerpt}"]
    )


def ends_once(case: Case) -> Findings:
    """A stream that answers ends exactly once: Chat with [DONE], Responses with response.completed or .incomplete."""
    if len(case.ends) == 1 and case.ends[0] in case.dialect.good_ends:
        return []
    told, expected, raw = ", ".join(case.ends) or "nothing", " or ".join(case.dialect.good_ends), case.answer.raw
    *_, last = _BLANK_LINE.split(raw.strip())  # be it no event: so do errors end a stream that nobody frames
    shows = f"the last in it: {quoted(last)}" if data_of(raw) else f"no event is in it: {case.answer.excerpt}"
    return [f"it ends with {told}, expected {expected}; {shows}"]


def is_grammatical(case: Case) -> Findings:
    """The events are JSON, framed as server-sent events, in the order and with the fields of OpenAI's OpenAPI file and guide to
    streaming: clients put answers together from them. Each finding begins with the name of a rule and the event's place.
    """
    return case.dialect.grammar(case.body, case.answer.raw)


def usage_comes_as_asked(case: Case) -> Findings:
    """Chat: one chunk tells the usage where include_usage asks for it, else none (OpenAPI file, stream_options).

    Responses: the last event's response tells it, always.
    """
    problem = case.dialect.usage_problem(case.body, case.answer.raw)
    return [problem] if problem else []


# ----------------------------------------------------------------------------------------------- what one request asks


def is_cut_at_its_limit(case: Case) -> Findings:
    """An answer that says that its limit ended it has come there (OpenAPI file, finish_reason and incomplete_details): half of it
    is asked for, since servers count what they add to an answer. Clients ask again with more.
    """
    limit = case.dialect.limit(case.body)
    if limit is None or case.value.get("usage") is None or not case.dialect.cut_by_limit(case.value):
        return []
    told = case.dialect.usage(case.value).output
    return [f"it is cut by its limit after {told} of {limit} tokens"] if 0 < 2 * told < limit else []


def keeps_its_limit(case: Case) -> Findings:
    """max_completion_tokens, max_tokens and max_output_tokens are upper bounds, reasoning included (OpenAPI file)."""
    limit = case.dialect.limit(case.body)
    if limit is None or case.value.get("usage") is None:
        return []
    told = case.dialect.usage(case.value).output
    return [f"{told} tokens, and at most {limit} were asked for"] if told > limit else []


def says_that_it_is_cut(case: Case) -> Findings:
    """An answer that the limit ends has the finish_reason `length`, or the status `incomplete`: else its beginning is taken for
    all of it (OpenAPI file). This is asked of answers that do not come to their end by themselves.
    """
    limit = case.dialect.limit(case.body)
    if case.dialect.cut(case.value) or case.value.get("usage") is None:
        return []
    told = case.dialect.usage(case.value).output
    return [f"it ends as if it were whole after {told} tokens, which is its limit"] if told == limit else []


def calls_when_it_must(case: Case) -> Findings:
    """Where tool_choice is `required` or names a tool the model must call one (OpenAPI file), unless the limit came before."""
    if case.dialect.calls(case.value) or case.dialect.cut(case.value):
        return []
    choice, text = case.body["tool_choice"], shown(case.dialect.text(case.value))
    return [f"tool_choice is {shown(_chosen(choice) or choice)}, and nothing is called: {text}"]


def calls_one_at_a_time(case: Case) -> Findings:
    """Under `parallel_tool_calls: false` there is one call at most (guide to function calling)."""
    count = len(case.dialect.calls(case.value))
    return [f"parallel_tool_calls is false, and there are {count} calls"] if count > 1 else []


def stops_before_its_stop(case: Case) -> Findings:
    """The text of an answer does not contain the stop sequence (OpenAPI file, stop)."""
    stop, text = case.body["stop"], case.dialect.text(case.value)
    return [f"the stop sequence {shown(stop)} is in the answer: {shown(text)}"] if stop in text else []


def tells_its_logprobs(case: Case) -> Findings:
    """Where logprobs are asked for (Chat's logprobs, Responses' include), each token of the text has its own, and as many others
    beside it as top_logprobs allows (OpenAPI file).
    """
    told, most = case.dialect.logprobs(case.value), case.body["top_logprobs"]
    if case.dialect.text(case.value) and not told:
        return [f"logprobs are asked for, and there are none for {shown(case.dialect.text(case.value))}"]
    others = max((len(token.get("top_logprobs") or ()) for token in told), default=0)
    return [f"{others} top_logprobs of a token, and at most {most} were asked for"] if others > most else []


def is_a_json_object(case: Case) -> Findings:
    """Text under json_object is one JSON object, unless it was cut or refused (guide to structured outputs, JSON mode)."""
    text = case.dialect.text(case.value)
    if case.dialect.cut(case.value) or not text:
        return []
    return [] if isinstance(_parsed(text), dict) else [f"{shown(text)} is no JSON object"]


def fits_its_schema(case: Case) -> Findings:
    """Text under a strict json_schema is JSON that fits it, unless it was cut or refused (guide to structured outputs)."""
    text = case.dialect.text(case.value)
    if case.dialect.cut(case.value) or not text:
        return []
    return _misfits(text, case.dialect.schema(case.body)["properties"])


# ------------------------------------------------------------------------------------------------------------ refusals


def is_refused(case: Case) -> Findings:
    """What the client did wrong is a 4xx (RFC 9110, section 15.5), streamed or not.

    A 200 with an error inside hides it from SDKs, and they try again after a 5xx, 408, 409 and 429.
    """
    status, expected = case.answer.status, "another 4xx" if case.answer.status in _TRIED_AGAIN else "4xx"
    good = 400 <= status < 500 and status not in _TRIED_AGAIN
    return [] if good else [f"status {status}, expected {expected}: {case.answer.excerpt}"]


def says_why(case: Case) -> Findings:
    """A refusal's body is `{"error": {"message", "type", …}}` (OpenAPI file, ErrorResponse): SDKs make exceptions of it."""
    return list(lacks(case.value, ERROR))


# ---------------------------------------------------------------------------------------------------------- whole runs


def ids_are_never_reused(answers: Iterable[tuple[str, Any]]) -> Findings:
    """Two answers have two ids: logs, stores and previous_response_id find an answer by it. `answers` are (case, id)."""
    places: dict[Any, list[str]] = {}
    for case, own in answers:
        places.setdefault(own, []).append(case)
    return [f"{shown(own)} is the id of: {', '.join(cases)}" for own, cases in places.items() if len(cases) > 1]


GATES: Final = (
    comes_whole,
    is_answered,
    is_json,
    is_an_event_stream,
    is_refused,
)
OF_BYTES: Final = (ends_once, is_grammatical)
"""What is asked of a stream that adds up to no answer, too."""
_WHOLE: Final = (
    has_the_shape,
    ends_as_it_says,
    usage_adds_up,
    calls_only_what_is_offered,
    arguments_fit_their_schema,
    characters_come_whole,
    ids_are_distinct,
    repeats_its_request,
    keeps_its_limit,
    is_cut_at_its_limit,
)
JSON: Final[tuple[Law, ...]] = (comes_whole, is_answered, is_json)
"""Of an answer that is no model's."""
PLAIN: Final[tuple[Law, ...]] = (*JSON, *_WHOLE)
"""Of a plain answer."""
STREAM: Final[tuple[Law, ...]] = (
    *(comes_whole, is_answered, is_an_event_stream, ends_once, is_grammatical, usage_comes_as_asked),
    *_WHOLE,
)
"""Of a streamed one."""
RESUMED: Final[tuple[Law, ...]] = (comes_whole, is_answered, is_an_event_stream, ends_once)
"""Of the rest of one."""
REFUSAL: Final[tuple[Law, ...]] = (comes_whole, is_refused, is_json, says_why)
"""Of an answer to what cannot be answered."""


def _instead_of_json(answer: Answer) -> str:
    """What a body is that is no JSON object."""
    if not answer.raw.strip():
        return "empty"
    if answer.raw.startswith(BOM):
        return f"no JSON, since a byte order mark stands before it (RFC 8259, section 8.1): {answer.excerpt}"
    try:
        jsonio.loads(answer.raw)
    except jsonio.NotJson as refused:
        return f"{refused}: {answer.excerpt_from(max(refused.offset - _BEFORE, 0))}"
    return f"no JSON object: {answer.excerpt}"


def _parsed(text: str) -> Any:
    try:
        return jsonio.loads(text.encode("utf-8", "surrogatepass"))
    except jsonio.NotJson:
        return None


def _strictness(body: dict[str, Any]) -> dict[str, dict[str, Any] | None] | None:
    """The tools of a request, and the properties that their calls are held to; None for tools that are not strict, and where a
    drawn request's are no tools."""
    try:
        tools = {qualified(*called): tool.get("function", tool) for called, tool in offered(body).items()}
        return {name: _plain(tool) if tool.get("strict") is True else None for name, tool in tools.items()}
    except (AttributeError, KeyError, TypeError):
        return None


def _plain(tool: dict[str, Any]) -> dict[str, Any]:
    """The properties of a tool's parameters, where they are as plain as this kit's own; a drawn tool may hold anything there."""
    match tool.get("parameters"):
        case {"properties": {**properties}} if all(
            isinstance(one, dict) and one.get("type") in ("string", "integer") for one in properties.values()
        ):
            return {str(name): one for name, one in properties.items()}
    return {}


def _misfits(text: str, properties: dict[str, Any]) -> Findings:
    """How a text is not as an object with plain, required properties and no others; any object fits where they are not known."""
    value, types = _parsed(text), {"string": str, "integer": int}
    if not isinstance(value, dict):
        return [f"{shown(text)} is no JSON object"]
    return [
        *lacks(value, {name: types[inner["type"]] for name, inner in properties.items()}),
        *(f"{shown(key)} is not in the schema" for key in sorted(value.keys() - properties.keys()) if properties),
    ]


def _garbled(text: str) -> Iterator[tuple[str, str]]:
    """Runs of a text that are UTF-8 read as Latin-1, and what they were."""
    for run in _GARBLED.findall(text):
        with suppress(UnicodeDecodeError):
            yield run, run.encode("latin-1").decode()


def _chosen(choice: Any) -> str | None:
    """The tool that a `tool_choice` names, in either dialect."""
    match choice:
        case {"type": "function", "function": {"name": str(name)}} | {"type": "function", "name": str(name)}:
            return name
    return None


def _twice(ids: list[str]) -> list[str]:
    return [own for own, count in Counter(ids).items() if count > 1]
