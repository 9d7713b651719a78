"""What any server's answers must keep. Each law takes a case and returns findings; none, and the law holds.

Laws stand in a tuple in the order in which they are asked. Those in `GATES` end the asking when they are broken: what is no
JSON has no shape. What has a shape of its own is read as far as that goes: one run shows as much as it can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

from adapter.conform.acting import offered
from adapter.conform.laws import Findings, data_of
from adapter.conform.live.dialect import ERROR, Dialect
from adapter.conform.live.shapes import lacks
from adapter.conform.report import excerpt, quoted
from adapter.hub.grammar.violation import shown
from adapter.wire import jsonio

_STREAM: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request."""

    status: int
    media_type: str
    """Of the content type, without its parameters, in lower case."""
    raw: bytes
    fault: str = ""
    """Why the answer did not come to its end; empty where it did."""
    retry_after: int | None = None
    """Seconds after which the server wants to be asked again, where it says so."""

    @property
    def excerpt(self) -> str:
        """Its beginning, for people, in one line. What is no answer of a model says which fault it is."""
        return quoted(self.raw) if self.status == 200 else excerpt(self.raw)


@dataclass(frozen=True)
class Case:
    """One request of a dialect and its answer."""

    dialect: Dialect
    body: dict[str, Any]
    """Empty where what was sent is no JSON object."""
    answer: Answer

    @cached_property
    def value(self) -> Any:
        """The answer's JSON; of a stream the answer that it adds up to. None where there is none, as of a stream that failed."""
        try:
            if self.answer.media_type == _STREAM:
                failed = not {*self.ends} <= {*self.dialect.good_ends}
                return None if failed else self.dialect.folded(self.answer.raw)
            return jsonio.loads(self.answer.raw)
        except (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError):
            return None

    @cached_property
    def ends(self) -> list[str]:
        """Everything in a stream that says that it is over."""
        return self.dialect.ends(self.answer.raw)


Law: TypeAlias = Callable[[Case], Findings]


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


def named(law: Callable[..., Findings]) -> str:
    """A law's name in reports and on the command line."""
    return law.__name__.replace("_", "-")


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
    return [] if isinstance(case.value, dict) else [f"the body is no JSON object: {case.answer.excerpt}"]


def has_the_shape(case: Case) -> Findings:
    """The answer's object has the fields that OpenAI's OpenAPI file requires, of their types; so has what a stream adds up to.

    Where the SDKs read a required field as null when it is absent (Chat's refusal and logprobs), so does this law.
    """
    if case.value is None:
        return ["the events do not add up to an answer"]
    counts = case.dialect.usage_shape
    usage = (None, counts) if case.answer.media_type == _STREAM else counts  # a stream has a law of its own for it
    return list(lacks(case.value, {**case.dialect.shape, "usage": usage}))


def ends_as_it_says(case: Case) -> Findings:
    """finish_reason, or status with its details, agrees with what the answer holds: agents decide by it what to do next.

    vLLM says of Chat, after OpenAI: `tool_calls` for calls under `auto` and `required`, `stop` for a call that was named.
    """
    return case.dialect.finish_problems(case.body, case.value)


def usage_adds_up(case: Case) -> Findings:
    """Input and output tokens are the total, as both usage objects define it, none is negative, and an answer that says or calls
    something took some: bills are made of them."""
    if case.value.get("usage") is None:
        return []
    usage = case.dialect.usage(case.value)
    found = [f"negative usage: {usage}"] if min(usage) < 0 else []
    if usage.output == 0 and (said := case.dialect.text(case.value) or case.dialect.calls(case.value)):
        found.append(f"0 output tokens for {shown(said)}")
    if usage.input + usage.output != usage.total:
        found.append(f"{usage.input} + {usage.output} tokens are said to be {usage.total}")
    return found


def calls_only_what_is_offered(case: Case) -> Findings:
    """A call names a tool of the request; `tool_choice: none` forbids all, and a tool's name all others (OpenAPI file)."""
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


def arguments_are_objects(case: Case) -> Findings:
    """A call of a strict tool has arguments that hold one JSON object (guide to function calling), unless the answer was cut.

    What a model writes for other tools is not the server's to promise (OpenAPI file, arguments).
    """
    if case.dialect.cut(case.value):
        return []
    tools = _strictness(case.body) or {}
    calls = case.dialect.calls(case.value)
    written = [call.arguments for call in calls if call.arguments is not None and tools.get(call.name)]
    return [f"arguments {shown(text)} are no JSON object" for text in written if not isinstance(_parsed(text), dict)]


def ids_are_distinct(case: Case) -> Findings:
    """No two items of an answer share an id, and no two calls: results name their call by it."""
    items, calls = case.dialect.item_ids(case.value), [call.id for call in case.dialect.calls(case.value)]
    return [f"the id {shown(own)} is used twice" for own in (*_twice(items), *_twice(calls))]


# ------------------------------------------------------------------------------------------------------------- streams


def is_an_event_stream(case: Case) -> Findings:
    """A stream is `text/event-stream` (WHATWG HTML, server-sent events); browsers and SDKs refuse anything else."""
    kind = case.answer.media_type
    return (
        []
        if kind == _STREAM
        else [f"the content type is {kind or 'missing'}, expected {_STREAM}: {case.answer.excerpt}"]
    )


def ends_once(case: Case) -> Findings:
    """A stream that answers ends exactly once: Chat with [DONE], Responses with response.completed or .incomplete."""
    if len(case.ends) == 1 and case.ends[0] in case.dialect.good_ends:
        return []
    told, expected = ", ".join(case.ends) or "nothing", " or ".join(case.dialect.good_ends)
    return [
        f"it ends with {told}, expected {expected}; its last event: {quoted(b''.join(data_of(case.answer.raw)[-1:]))}"
    ]


def is_grammatical(case: Case) -> Findings:
    """The events are JSON, framed as server-sent events, in the order and with the fields of OpenAI's OpenAPI file and guide to
    streaming: clients put answers together from them. Each finding begins with the name of a rule and the event's place.
    """
    return case.dialect.grammar(case.answer.raw)


def usage_comes_as_asked(case: Case) -> Findings:
    """Chat: one chunk tells the usage where include_usage asks for it, else none (OpenAPI file, stream_options).

    Responses: the last event's response tells it, always.
    """
    problem = case.dialect.usage_problem(case.body, case.answer.raw)
    return [problem] if problem else []


# ----------------------------------------------------------------------------------------------- what one request asks


def keeps_its_limit(case: Case) -> Findings:
    """max_completion_tokens, max_tokens and max_output_tokens are upper bounds, reasoning included (OpenAPI file)."""
    limits = [case.body[key] for key in case.dialect.limit_keys if key in case.body]
    if not limits or case.value.get("usage") is None:
        return []
    told = case.dialect.usage(case.value).output
    return [f"{told} tokens, and at most {limits[0]} were asked for"] if told > limits[0] else []


def says_that_it_is_cut(case: Case) -> Findings:
    """An answer that the limit ends has the finish_reason `length`, or the status `incomplete`: else its beginning is taken for
    all of it (OpenAPI file). This is asked of answers that do not come to their end by themselves.
    """
    limits = [case.body[key] for key in case.dialect.limit_keys if key in case.body]
    if case.dialect.cut(case.value) or case.value.get("usage") is None:
        return []
    told = case.dialect.usage(case.value).output
    return [f"it ends as if it were whole after {told} tokens, which is its limit"] if told in limits else []


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


def fits_its_schema(case: Case) -> Findings:
    """Text under a strict json_schema is JSON that fits it, unless it was cut or refused (guide to structured outputs)."""
    text = case.dialect.text(case.value)
    if case.dialect.cut(case.value) or not text:
        return []
    value, schema = _parsed(text), case.dialect.schema(case.body)
    wanted = {name: {"string": str, "integer": int}[inner["type"]] for name, inner in schema["properties"].items()}
    if not isinstance(value, dict):
        return [f"{shown(text)} is no JSON object"]
    return [
        *lacks(value, wanted),
        *(f"{shown(key)} is not in the schema" for key in sorted(value.keys() - wanted.keys())),
    ]


# ------------------------------------------------------------------------------------------------------------ refusals


def is_refused(case: Case) -> Findings:
    """What the client did wrong is a 4xx (RFC 9110, section 15.5), streamed or not.

    A 200 with an error inside hides it from SDKs, and a 5xx is tried again by them.
    """
    return (
        [] if 400 <= case.answer.status < 500 else [f"status {case.answer.status}, expected 4xx: {case.answer.excerpt}"]
    )


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
    arguments_are_objects,
    ids_are_distinct,
    keeps_its_limit,
)
PLAIN: Final[tuple[Law, ...]] = (comes_whole, is_answered, is_json, *_WHOLE)
"""Of a plain answer."""
STREAM: Final[tuple[Law, ...]] = (
    *(comes_whole, is_answered, is_an_event_stream, ends_once, is_grammatical, usage_comes_as_asked),
    *_WHOLE,
)
"""Of a streamed one."""
REFUSAL: Final[tuple[Law, ...]] = (comes_whole, is_refused, is_json, says_why)
"""Of an answer to what cannot be answered."""


def _parsed(text: str) -> Any:
    try:
        return jsonio.loads(text.encode("utf-8", "surrogatepass"))
    except jsonio.NotJson:
        return None


def _strictness(body: dict[str, Any]) -> dict[str, bool] | None:
    """The tools of a request, and whether their calls are held to their schema; None where a drawn request's are no tools."""
    try:
        tools = offered(body).items()
        return {name: tool.get("function", tool).get("strict") is True for (_, name), tool in tools}
    except (AttributeError, KeyError, TypeError):
        return None


def _chosen(choice: Any) -> str | None:
    """The tool that a `tool_choice` names, in either dialect."""
    match choice:
        case {"type": "function", "function": {"name": str(name)}} | {"type": "function", "name": str(name)}:
            return name
    return None


def _twice(ids: list[str]) -> list[str]:
    return [own for own, count in Counter(ids).items() if count > 1]
