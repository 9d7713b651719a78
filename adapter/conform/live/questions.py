"""What is asked of a live server, as a table of each dialect: a name, the body, the laws that the answer must keep.

The model's name is put into every body that names none. Answers are kept short; where a model may think before it calls or
fills a schema it gets some more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from adapter.conform.laws import Name
from adapter.conform.live.chat import Chat
from adapter.conform.live.dialect import Dialect
from adapter.conform.live.laws import (
    PLAIN,
    REFUSAL,
    STREAM,
    Law,
    calls_one_at_a_time,
    calls_when_it_must,
    fits_its_schema,
    says_that_it_is_cut,
    stops_before_its_stop,
)
from adapter.conform.live.responses import Responses

SHORT: Final = 256
"""Most tokens of an answer in words; it takes ten, unless the model thinks before it."""
TINY: Final = 16
"""The least that every server takes as a limit; OpenAI's Responses refuses less."""
ROOMY: Final = 512
"""Tokens where a model may think first."""
NOBODY: Final = "adapter-conform-no-such-model"
_STORY: Final = "Tell a long story about a lighthouse, its keeper, a storm and a ship that lost its way in the dark. "
_FORCED: Final = "What is the weather in Paris? "
_BOTH: Final = "Please call get_weather and get_time for Paris, both at once. "
_HISTORY: Final = ("Answer in one word.", "What is the capital of France?", "Paris.", "And that of Italy?")
"""What an instruction, a user, an assistant and again a user said."""
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
_FORMATS: Final = ("response_format", "json_schema", "text.format")
_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""How servers call what they lack when they refuse it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One row: a request and what its answer must keep."""

    name: str
    body: Mapping[str, Any] | bytes
    """An object to be completed, or bytes to be sent as they are."""
    laws: tuple[Law, ...]
    path: str | None = None
    """Another path than the dialect's."""
    limit: int | None = SHORT
    """Tokens at most, under the name that the server takes."""
    lacking: tuple[str, ...] = ()
    """A server may refuse this request if it names one of these: it says that it lacks the feature."""
    results: bool = False
    """The results of the answer's calls are sent back, and that is answered."""


def questions(name: Name) -> tuple[Dialect, tuple[Question, ...]]:
    """A dialect and its table."""
    return (Chat(), CHAT) if name == "chat" else (Responses(), RESPONSES)


def laws_of(name: Name) -> list[Law]:
    """All laws that a dialect's questions ask about, in the order of the first who asks."""
    return list(dict.fromkeys(law for question in questions(name)[1] for law in question.laws))


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
_CHAT_FORCED: Final[dict[str, Any]] = {"tools": [_chat_tool("get_weather")], "tool_choice": "required"}
_CHAT_BOTH: Final = {"tools": [_chat_tool("get_weather"), _chat_tool("get_time")]}
_CHAT_NAMED: Final = {**_CHAT_BOTH, "tool_choice": {"type": "function", "function": {"name": "get_time"}}}
_CHAT_FORMAT: Final = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "capital", "schema": _SCHEMA, "strict": True}}
}

# fmt: off
CHAT: Final = (
    Question(name="a plain answer", body=_chat("Say hello."), laws=PLAIN),
    Question(name="a conversation", body=_chat_history(), laws=PLAIN),
    Question(name="a stop sequence", laws=(*PLAIN, stops_before_its_stop), lacking=("stop",),
             body=_chat("Write the word hello twice, in lower case.", stop="l")),
    Question(name="a stream", body=_chat("Say hello, in pieces.", stream=True), laws=STREAM),
    Question(name="a stream with usage", body=_chat("Say hello and count.", **_STREAMED), laws=STREAM),
    Question(name="a stream that declines usage", laws=STREAM, lacking=("include_usage",),
             body=_chat("Say hello, do not count.", stream=True, stream_options={"include_usage": False})),
    Question(name="a tiny limit, streamed", laws=(*STREAM, says_that_it_is_cut), limit=TINY, lacking=_LIMITS,
             body=_chat(f"{_STORY} Tell it slowly.", **_STREAMED)),
    Question(name="a call that must be", laws=(*PLAIN, calls_when_it_must), limit=ROOMY, lacking=_TOOLS, results=True,
             body=_chat(_FORCED, **_CHAT_FORCED)),
    Question(name="a call that must be, streamed", laws=(*STREAM, calls_when_it_must), limit=ROOMY, lacking=_TOOLS,
             results=True, body=_chat(f"{_FORCED} Now?", **_CHAT_FORCED, **_STREAMED)),
    Question(name="a call by name", laws=(*PLAIN, calls_when_it_must), limit=ROOMY, lacking=_TOOLS,
             body=_chat(f"{_FORCED} By name.", **_CHAT_NAMED)),
    Question(name="a call that must not be", laws=PLAIN, limit=ROOMY, lacking=_TOOLS,
             body=_chat(f"{_FORCED} Please call get_weather.", **_CHAT_BOTH, tool_choice="none")),
    Question(name="one call at a time", laws=(*PLAIN, calls_one_at_a_time), limit=ROOMY, lacking=_PARALLEL,
             body=_chat(f"{_BOTH} Or not.", **_CHAT_BOTH, parallel_tool_calls=False)),
    Question(name="two calls at once", laws=PLAIN, limit=ROOMY, lacking=_TOOLS, results=True,
             body=_chat(_BOTH, **_CHAT_BOTH)),
    Question(name="two calls at once, streamed", laws=STREAM, limit=ROOMY, lacking=_TOOLS,
             body=_chat(f"{_BOTH} Now.", **_CHAT_BOTH, **_STREAMED)),
    Question(name="a JSON schema", laws=(*PLAIN, fits_its_schema), limit=ROOMY, lacking=_FORMATS,
             body=_chat(_FACTS, **_CHAT_FORMAT)),
    Question(name="a JSON schema, streamed", laws=(*STREAM, fits_its_schema), limit=ROOMY, lacking=_FORMATS,
             body=_chat(f"{_FACTS} About.", **_CHAT_FORMAT, **_STREAMED)),
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


_RESPONSES_FORCED: Final[dict[str, Any]] = {"tools": [_tool("get_weather")], "tool_choice": "required"}
_RESPONSES_BOTH: Final = {"tools": [_tool("get_weather"), _tool("get_time")]}
_RESPONSES_NAMED: Final = {**_RESPONSES_BOTH, "tool_choice": {"type": "function", "name": "get_time"}}
_RESPONSES_FORMAT: Final = {
    "text": {"format": {"type": "json_schema", "name": "capital", "schema": _SCHEMA, "strict": True}}
}

# fmt: off
RESPONSES: Final = (
    Question(name="a plain answer", body=_responses("Say hello."), laws=PLAIN),
    Question(name="a conversation", body=_responses_history(), laws=PLAIN),
    Question(name="a stream", body=_responses("Say hello, in pieces.", stream=True), laws=STREAM),
    Question(name="a tiny limit, streamed", laws=(*STREAM, says_that_it_is_cut), limit=TINY, lacking=_LIMITS,
             body=_responses(f"{_STORY} Slowly.", stream=True)),
    Question(name="a call that must be", laws=(*PLAIN, calls_when_it_must), limit=ROOMY, lacking=_TOOLS, results=True,
             body=_responses(_FORCED, **_RESPONSES_FORCED)),
    Question(name="a call that must be, streamed", laws=(*STREAM, calls_when_it_must), limit=ROOMY, lacking=_TOOLS,
             results=True, body=_responses(f"{_FORCED} Now?", stream=True, **_RESPONSES_FORCED)),
    Question(name="a call by name", laws=(*PLAIN, calls_when_it_must), limit=ROOMY, lacking=_TOOLS,
             body=_responses(f"{_FORCED} By name.", **_RESPONSES_NAMED)),
    Question(name="a call that must not be", laws=PLAIN, limit=ROOMY, lacking=_TOOLS,
             body=_responses(f"{_FORCED} Please call get_weather.", **_RESPONSES_BOTH, tool_choice="none")),
    Question(name="one call at a time", laws=(*PLAIN, calls_one_at_a_time), limit=ROOMY, lacking=_PARALLEL,
             body=_responses(f"{_BOTH} Or not.", **_RESPONSES_BOTH, parallel_tool_calls=False)),
    Question(name="two calls at once", laws=PLAIN, limit=ROOMY, lacking=_TOOLS, results=True,
             body=_responses(_BOTH, **_RESPONSES_BOTH)),
    Question(name="two calls at once, streamed", laws=STREAM, limit=ROOMY, lacking=_TOOLS,
             body=_responses(f"{_BOTH} Now.", stream=True, **_RESPONSES_BOTH)),
    Question(name="a JSON schema", laws=(*PLAIN, fits_its_schema), limit=ROOMY, lacking=_FORMATS,
             body=_responses(_FACTS, **_RESPONSES_FORMAT)),
    Question(name="a JSON schema, streamed", laws=(*STREAM, fits_its_schema), limit=ROOMY, lacking=_FORMATS,
             body=_responses(f"{_FACTS} About.", stream=True, **_RESPONSES_FORMAT)),
    *_refusals("input", "Say hello."),
    Question(name="an unknown previous response", laws=REFUSAL, limit=TINY,
             body=_responses("Say hello.", previous_response_id="resp_adapter_conform_no_such_response")),
)
# fmt: on
