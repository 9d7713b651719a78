"""What is asked of a live server, as a table of each dialect: a name, the body, the laws that the answer must keep.

The model's name is put into every body that names none. Answers are kept short; where a model may think before it calls or
fills a schema it gets some more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from adapter.conform.laws import Name
from adapter.conform.live.case import Case, Law
from adapter.conform.live.chat import Chat
from adapter.conform.live.dialect import Dialect
from adapter.conform.live.following import (
    AFTER,
    counts_its_input,
    counts_what_is_added,
    goes_on_behind,
    holds_what_was_said,
    is_a_conversation,
    is_compacted,
    is_not_kept,
    is_what_was_said,
    lists_its_input,
    lists_its_models,
)
from adapter.conform.live.laws import (
    JSON,
    PLAIN,
    REFUSAL,
    RESUMED,
    STREAM,
    calls_one_at_a_time,
    calls_when_it_must,
    fits_its_schema,
    is_a_json_object,
    says_that_it_is_cut,
    stops_before_its_stop,
    tells_its_logprobs,
    usage_adds_up,
)
from adapter.conform.live.question import Next, Question
from adapter.conform.live.responses import Responses

TINY: Final = 16
"""The least that every server takes as a limit; OpenAI's Responses refuses less."""
ROOMY: Final = 512
"""Tokens where a model may think first."""
NOBODY: Final = "adapter-conform-no-such-model"
_STORY: Final = "Tell a long story about a lighthouse, its keeper, a storm and a ship that lost its way in the dark. "
_FORCED: Final = "What is the weather in Paris? "
_BOTH: Final = "Please call get_weather and get_time for Paris, both at once. "
_HISTORY: Final = ("Answer in one word.", "What is the capital of France?", "Paris.", "And that of 中国, in Chinese?")
"""What an instruction, a user, an assistant and again a user said."""
_GREETING: Final = "Say hello in Japanese, こんにちは, and wave 👋."
_JSON: Final = "Which city is the capital of France? Answer with a JSON object that has the key city."
_FACTS: Final = "Which city is the capital of France, and how many people live there? "
_CITY: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
_SCHEMA: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
_TOOLS: Final = ("tools", "tool_choice", "tool choice", "function", "strict")
_PARALLEL: Final = (*_TOOLS, "parallel")
_FORMATS: Final = ("response_format", "json_schema", "json_object", "text.format")
_CHOICES: Final = ("'n'", "n=", "n =", "n>", "n >", "n must", "choices", "best_of")
_LOGPROBS: Final = ("logprobs",)
_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""How servers call what they lack when they refuse it."""


def questions(name: Name) -> tuple[Dialect, tuple[Question, ...]]:
    """A dialect and its table."""
    return (Chat(), CHAT) if name == "chat" else (Responses(), RESPONSES)


def laws_of(name: Name) -> list[Law]:
    """All laws that a dialect's questions ask about, in the order of the first who asks."""
    return list(dict.fromkeys(_laws_in(questions(name)[1])))


def _laws_in(asked: Iterable[Question | Next]) -> Iterator[Law]:
    for one in asked:
        yield from one.laws
        yield from _laws_in(one.then)


def limits(dialect: Dialect) -> Iterator[tuple[str, Question]]:
    """What is asked before the table: whether the server takes a limit, under each name that the dialect has for it."""
    for key in dialect.limit_keys:
        story = f"{_STORY} Its name is {key}."
        body = {**(_chat(story) if dialect.name == "chat" else _responses(story)), key: TINY}
        yield (
            key,
            Question(name=f"a tiny {key}", body=body, laws=(*PLAIN, says_that_it_is_cut), limit=None, lacking=_LIMITS),
        )


def _refusals(field: str, good: Any) -> Iterator[Question]:
    """What no server can answer; `field` is where the dialect keeps the conversation, `good` one that it takes."""
    bodies: dict[str, dict[str, Any] | bytes] = {
        "broken JSON": b'{"model": "x", ',
        "an empty body": b"",
        "no JSON object": b'["model"]',
        f"without {field}": {},
        f"{field} of a wrong type": {field: 5},
        f"{field} of a wrong type, streamed": {field: 5, "stream": True},
        "an unknown model": {"model": NOBODY, field: good},
        "an unknown model, streamed": {"model": NOBODY, field: good, "stream": True},
    }
    for name, body in bodies.items():
        yield Question(
            name=name, body=body, laws=REFUSAL, limit=TINY
        )  # a server that takes it is not to speak for long
    yield Question(
        name="an unknown path", body={field: good}, laws=REFUSAL, limit=TINY, path="/adapter-conform/no-such-path"
    )


def _results(case: Case) -> Mapping[str, Any] | None:
    if not case.dialect.calls(case.value) or case.dialect.cut(case.value):
        return None
    return {"body": case.dialect.with_results(case.body, case.value), "limit": None}


_RESULTS: Final = (Next("results", PLAIN, _results),)
_COUNTED_RESULTS: Final = (Next("results", (*PLAIN, counts_what_is_added), _results),)
"""Where no choice of tools was made, which servers may word for the model, and count."""


_MODELS: Final = Question(
    name="the models", method="GET", path="/models", body=b"", laws=(*JSON, lists_its_models), absent=True
)


def _continued(case: Case) -> Mapping[str, Any] | None:
    key = "messages" if "messages" in case.body else "input"
    said, more = case.dialect.text(case.value), {"role": "user", "content": "And of Spain?"}
    if not said:
        return None
    return {"body": {**case.body, key: [*case.body[key], {"role": "assistant", "content": said}, more]}, "limit": None}


_CONTINUED: Final = (Next("continued", (*PLAIN, counts_what_is_added), _continued),)


# fmt: off
def _calls(
    ask: Callable[..., dict[str, Any]], tool: Callable[[str], Any], chosen: Any, streamed: dict[str, Any]
) -> tuple[Question, ...]:
    """What is asked of calls: `ask` makes a body of a text, `tool` a tool of its name; `chosen` is a choice of get_time."""
    forced: dict[str, Any] = {"tools": [tool("get_weather")], "tool_choice": "required"}
    both: dict[str, Any] = {"tools": [tool("get_weather"), tool("get_time")]}
    named: dict[str, Any] = {**both, "tool_choice": chosen}
    return (
        Question(name="a call that must be", laws=(*PLAIN, calls_when_it_must), limit=ROOMY, lacking=_TOOLS, then=_RESULTS,
                 body=ask(_FORCED, **forced)),
        Question(name="a call that must be, streamed", laws=(*STREAM, calls_when_it_must), limit=ROOMY, lacking=_TOOLS,
                 then=_RESULTS, body=ask(f"{_FORCED} Now?", **forced, **streamed)),
        Question(name="a call by name", laws=(*PLAIN, calls_when_it_must), limit=ROOMY, lacking=_TOOLS,
                 body=ask(f"{_FORCED} By name.", **named)),
        Question(name="a call by name, streamed", laws=(*STREAM, calls_when_it_must), limit=ROOMY, lacking=_TOOLS,
                 body=ask(f"{_FORCED} By name, now.", **named, **streamed)),
        Question(name="a call that must not be", laws=PLAIN, limit=ROOMY, lacking=_TOOLS,
                 body=ask(f"{_FORCED} Please call get_weather.", **both, tool_choice="none")),
        Question(name="a call that must not be, streamed", laws=STREAM, limit=ROOMY, lacking=_TOOLS,
                 body=ask(f"{_FORCED} Call get_weather now.", **both, tool_choice="none", **streamed)),
        Question(name="one call at a time", laws=(*PLAIN, calls_one_at_a_time), limit=ROOMY, lacking=_PARALLEL,
                 body=ask(f"{_BOTH} Or not.", **both, parallel_tool_calls=False)),
        Question(name="one call at a time, streamed", laws=(*STREAM, calls_one_at_a_time), limit=ROOMY, lacking=_PARALLEL,
                 body=ask(f"{_BOTH} Or not now.", **both, parallel_tool_calls=False, **streamed)),
        Question(name="two calls at once", laws=PLAIN, limit=ROOMY, lacking=_TOOLS, then=_COUNTED_RESULTS,
                 body=ask(_BOTH, **both)),
        Question(name="two calls at once, streamed", laws=STREAM, limit=ROOMY, lacking=_TOOLS,
                 body=ask(f"{_BOTH} Now.", **both, **streamed)),
    )


def _formats(
    ask: Callable[..., dict[str, Any]], held: Callable[[Any], dict[str, Any]], schema: Any, streamed: dict[str, Any]
) -> tuple[Question, ...]:
    """What is asked of formats: `held` gives the field of a body that holds one, `schema` is the one that asks for _SCHEMA."""
    return (
        Question(name="a JSON object", laws=(*PLAIN, is_a_json_object), limit=ROOMY, lacking=_FORMATS,
                 body=ask(_JSON, **held({"type": "json_object"}))),
        Question(name="a JSON schema", laws=(*PLAIN, fits_its_schema), limit=ROOMY, lacking=_FORMATS,
                 body=ask(_FACTS, **held(schema))),
        Question(name="a JSON schema, streamed", laws=(*STREAM, fits_its_schema), limit=ROOMY, lacking=_FORMATS,
                 body=ask(f"{_FACTS} About.", **held(schema), **streamed)),
    )
# fmt: on


# ---------------------------------------------------------------------------------------------------------------- Chat


def _chat(text: str, /, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def _chat_history() -> dict[str, Any]:
    rules, question, answer, next_question = _HISTORY
    return {
        "messages": [
            {"role": "system", "content": rules},
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
            {"role": "user", "content": [{"type": "text", "text": next_question}]},
        ]
    }


def _chat_tool(name: str) -> dict[str, Any]:
    about = f"Tells the {name.removeprefix('get_')} of a city."
    return {"type": "function", "function": {"name": name, "description": about, "parameters": _CITY, "strict": True}}


_STREAMED: Final[dict[str, Any]] = {"stream": True, "stream_options": {"include_usage": True}}
_CHAT_FORMAT: Final = {"type": "json_schema", "json_schema": {"name": "capital", "schema": _SCHEMA, "strict": True}}

# fmt: off
CHAT: Final = (
    Question(name="a plain answer", body=_chat("Say hello."), laws=PLAIN),
    Question(name="a conversation", body=_chat_history(), laws=PLAIN, then=_CONTINUED),
    Question(name="a stop sequence", laws=(*PLAIN, stops_before_its_stop), lacking=("stop",),
             body=_chat("Write the word hello twice, in lower case.", stop="l")),
    Question(name="a stop sequence, streamed", laws=(*STREAM, stops_before_its_stop), lacking=("stop",),
             body=_chat("Write the word hello thrice, in lower case.", stop="l", **_STREAMED)),
    Question(name="two choices", laws=PLAIN, lacking=_CHOICES, body=_chat("Say hello in a language of yours.", n=2)),
    Question(name="two choices, streamed", laws=STREAM, lacking=_CHOICES,
             body=_chat("Say hello in another language.", n=2, stream=True)),
    Question(name="log probabilities", laws=(*PLAIN, tells_its_logprobs), lacking=_LOGPROBS,
             body=_chat("Say hello and how sure you are.", logprobs=True, top_logprobs=2)),
    Question(name="a stream", body=_chat(_GREETING, stream=True), laws=STREAM),
    Question(name="a stream with usage", body=_chat("Say hello and count.", **_STREAMED), laws=STREAM),
    Question(name="a stream that declines usage", laws=STREAM, lacking=("include_usage",),
             body=_chat("Say hello, do not count.", stream=True, stream_options={"include_usage": False})),
    Question(name="a tiny limit, streamed", laws=(*STREAM, says_that_it_is_cut), limit=TINY, lacking=_LIMITS,
             body=_chat(f"{_STORY} Tell it slowly.", **_STREAMED)),
    *_calls(_chat, _chat_tool, {"type": "function", "function": {"name": "get_time"}}, _STREAMED),
    *_formats(_chat, lambda asked: {"response_format": asked}, _CHAT_FORMAT, _STREAMED),
    _MODELS,
    *_refusals("messages", [{"role": "user", "content": "Say hello."}]),
)
# fmt: on

# ----------------------------------------------------------------------------------------------------------- Responses


def _responses(text: str, /, **fields: Any) -> dict[str, Any]:
    return {"input": text, "store": False, **fields}


def _responses_history() -> dict[str, Any]:
    rules, question, answer, next_question = _HISTORY
    said = {"type": "output_text", "text": answer, "annotations": []}
    return {
        "instructions": rules,
        "input": [
            {"role": "user", "content": question},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [said]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": next_question}]},
        ],
        "store": False,
    }


def _tool(name: str) -> dict[str, Any]:
    about = f"Tells the {name.removeprefix('get_')} of a city."
    return {"type": "function", "name": name, "description": about, "parameters": _CITY, "strict": True}


_COUNT: Final = "/responses/input_tokens"


def _at(case: Case) -> str:
    return f"{case.dialect.path}/{case.value['id']}"


_FETCHED: Final = Next(
    *("fetched", (*PLAIN, is_what_was_said)),
    lambda case: {"method": "GET", "path": _at(case), "body": b"", "absent": case.value.get("store") is not True},
    gate=True,
)
_DELETED: Final = (
    Next("deleted", JSON, lambda case: {"method": "DELETE", "path": _at(case), "body": b"", "absent": True}, gate=True),
    Next("fetched when it is gone", REFUSAL, lambda case: {"method": "GET", "path": _at(case), "body": b""}),
)
_KEPT: Final = (
    _FETCHED,
    Next(
        *("its input", (*JSON, lists_its_input)),
        lambda case: {"method": "GET", "path": f"{_at(case)}/input_items", "body": b"", "absent": True},
    ),
    Next(
        *("continued", (*PLAIN, counts_what_is_added)),
        lambda case: {"body": _responses("And in French?", previous_response_id=case.value["id"])},
    ),
    *_DELETED,
)
"""What can be asked of a response that is stored; nothing of it is left behind."""
_COUNTED: Final = (
    Next(
        *("with more", (*JSON, counts_its_input)),
        lambda case: {"body": {"input": f"{case.body['input']} {_STORY}"}, "path": _COUNT, "limit": None},
    ),
)
_SPOKEN_IN: Final = (
    Next(
        *("its items", (*JSON, holds_what_was_said)),
        lambda case: {"method": "GET", "path": f"/conversations/{case.body['conversation']}/items", "body": b""},
    ),
    *_DELETED,
)


def _in_conversation(case: Case) -> dict[str, Any]:
    return {"method": "GET", "path": f"/conversations/{case.value['id']}", "body": b""}


_CONVERSED: Final = (
    Next(
        *("spoken in", PLAIN),
        lambda case: {"body": _responses("Say hello, and be remembered.", conversation=case.value["id"], store=True)},
        then=_SPOKEN_IN,
    ),
    Next("deleted", JSON, lambda case: {**_in_conversation(case), "method": "DELETE"}, gate=True),
    Next("asked for when it is gone", REFUSAL, _in_conversation),
)
_BROKEN_OFF: Final = (
    Next(
        *("resumed", (*RESUMED, goes_on_behind)),
        lambda case: {
            "method": "GET",
            "path": f"{_at(case)}?stream=true&starting_after={AFTER}",
            "body": b"",
            "absent": case.value.get("background") is not True,
        },
    ),
    _FETCHED,
    *_DELETED,
)
_NOT_KEPT: Final = (Next("fetched", (is_not_kept,), lambda case: {"method": "GET", "path": _at(case), "body": b""}),)
_COMPACTED: Final = (
    Next(
        *("continued", PLAIN),
        lambda case: {"body": _responses("", input=[*case.value["output"], {"role": "user", "content": "Go on."}])},
    ),
)
_METADATA: Final = {"by": "adapter conform"}
_NOTE: Final = {"type": "custom", "name": "note", "description": "Takes a note in plain words."}
_FORMAT: Final = {"type": "json_schema", "name": "capital", "schema": _SCHEMA, "strict": True}
_SPACE: Final = {
    "type": "namespace",
    "name": "mcp__city",
    "description": "Knows cities.",
    "tools": [_tool("get_weather")],
}
_INSTRUCTED: Final = [
    {"type": "message", "role": "developer", "content": "In French."},
    {"role": "user", "content": "Greet me."},
]
_LOOKED: Final = [
    {"role": "user", "content": "What is the weather in Paris?"},
    {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city": "Paris"}'},
    {
        "type": "function_call_output",
        "call_id": "call_1",
        "output": [{"type": "input_text", "text": "18 degrees,"}, {"type": "input_text", "text": "and rain."}],
    },
]

# fmt: off
RESPONSES: Final = (
    Question(name="a plain answer", body=_responses("Say hello."), laws=PLAIN, then=_NOT_KEPT),
    Question(name="metadata", body=_responses("Say hello.", metadata=_METADATA), laws=PLAIN, lacking=("metadata",)),
    Question(name="a stored answer", laws=PLAIN, lacking=("store",), then=_KEPT,
             body=_responses(f"{_STORY} No, say hello, and remember what I asked for first.", store=True)),
    Question(name="a stream in the background", laws=STREAM, lacking=("background", "store"), then=_BROKEN_OFF,
             body=_responses(f"{_STORY} Or say hello.", background=True, store=True, stream=True)),
    Question(name="a conversation that is kept", path="/conversations", body=b'{"metadata": {"by": "adapter conform"}}',
             laws=(*JSON, is_a_conversation), absent=True, then=_CONVERSED),
    Question(name="input that is counted", path=_COUNT, laws=(*JSON, counts_its_input), limit=None, absent=True, then=_COUNTED,
             body={"input": "Say hello."}),
    Question(name="compaction", laws=(*JSON, is_compacted, usage_adds_up), path="/responses/compact", limit=None, absent=True,
             then=_COMPACTED, body={"input": _responses_history()["input"]}),
    Question(name="a conversation", body=_responses_history(), laws=PLAIN, then=_CONTINUED),
    Question(name="log probabilities", laws=(*PLAIN, tells_its_logprobs), lacking=_LOGPROBS,
             body=_responses("Say hello and how sure you are.", include=["message.output_text.logprobs"], top_logprobs=2)),
    Question(name="a stream", body=_responses(_GREETING, stream=True), laws=STREAM),
    Question(name="a stream that may think", laws=STREAM, limit=ROOMY, lacking=("reasoning",),
             body=_responses("Is 91 a prime number?", stream=True, reasoning={"effort": "low", "summary": "auto"})),
    Question(name="a tiny limit, streamed", laws=(*STREAM, says_that_it_is_cut), limit=TINY, lacking=_LIMITS,
             body=_responses(f"{_STORY} Slowly.", stream=True)),
    *_calls(_responses, _tool, {"type": "function", "name": "get_time"}, {"stream": True}),
    Question(name="a call of a custom tool, streamed", laws=(*STREAM, calls_when_it_must), limit=ROOMY,
             lacking=(*_TOOLS, "custom"), then=_RESULTS,
             body=_responses("Note that the keeper is asleep.", stream=True, tools=[_NOTE], tool_choice="required")),
    Question(name="a call in a namespace, streamed", laws=(*STREAM, calls_when_it_must), limit=ROOMY,
             lacking=(*_TOOLS, "namespace"), then=_RESULTS,
             body=_responses(f"{_FORCED} In a namespace.", stream=True, tools=[_SPACE], tool_choice="required")),
    Question(name="an output in parts", laws=PLAIN, lacking=_TOOLS,
             body=_responses("", tools=[_tool("get_weather")]) | {"input": _LOOKED}),
    Question(name="a developer behind the instructions", laws=PLAIN,
             body=_responses("", instructions="Answer in one word.") | {"input": _INSTRUCTED}),
    *_formats(_responses, lambda asked: {"text": {"format": asked}}, _FORMAT, {"stream": True}),
    _MODELS,
    *_refusals("input", "Say hello."),
    Question(name="an unknown previous response", laws=REFUSAL, limit=TINY,
             body=_responses("Say hello.", previous_response_id="resp_adapter_conform_no_such_response")),
)
# fmt: on
