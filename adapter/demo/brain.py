"""What the demo model says. Pure: the same question, the same answer.

In this order: it refuses when told "please refuse"; calls tools when the user text says "call <name>" (several names, or
"twice", make parallel calls) or when the choice forces it; fills the JSON schema that structured output asks for; tells what
the tools answered; otherwise says what it heard and what it saw. It reasons first when reasoning is asked, and whatever it
says is cut at the token limit, four bytes being a token.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from adapter.demo.schema import instance

BYTES_PER_TOKEN: Final = 4
_CALL: Final = re.compile(r"\bcall\b(.*)", re.IGNORECASE | re.DOTALL)
_WORDS: Final = re.compile(r"\S+\s*|\s+")
REFUSAL: Final = "I am sorry, I cannot help with that."


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool on offer, in no dialect."""

    name: str
    custom: bool = False
    """Takes free text, not a JSON object."""
    schema: Any = None
    namespace: str | None = None
    native: bool = False
    """Responses has an item type of its own for its calls."""

    @property
    def kind(self) -> str:
        """The word of both APIs."""
        return "custom" if self.custom else "function"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything of a request that the answer depends on."""

    user: str = ""
    """The text of the last user turn."""
    images: tuple[str, ...] = ()
    """Media types (or `url`) of the images of the last user turn."""
    files: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    must_call: bool = False
    may_call: bool = True
    only: tuple[str, ...] = ()
    """Names that the tool choice allows; empty: all."""
    parallel: bool = True
    outputs: tuple[tuple[str, str], ...] = ()
    """(tool name, what it answered) since the last user turn."""
    reasons: bool = False
    schema: Any = None
    """A JSON schema for the answer; `{}` for any JSON object; None for free text."""
    limit: int | None = None
    """Most tokens to say, reasoning included."""
    stop: tuple[str, ...] = ()


@dataclass(slots=True)
class Call:
    """One tool call."""

    tool: Tool
    text: str
    """Arguments as JSON, or the input of a custom tool."""


@dataclass(slots=True)
class Said:
    """One answer."""

    reasoning: str = ""
    text: str = ""
    refusal: str = ""
    calls: list[Call] = field(default_factory=list)
    cut: bool = False
    """The token limit was met; what stands last is incomplete."""
    tokens_reasoning: int = 0
    tokens_out: int = 0


def answer(question: Question) -> Said:
    """The answer to a question."""
    said = Said()
    if question.reasons:
        said.reasoning = f"The user said {_short(question.user)!r}. I answer plainly."
    if "please refuse" in question.user.lower():
        said.refusal = REFUSAL
    elif calls := _calls(question):
        said.calls = calls
    elif question.schema is not None:
        said.text = json.dumps(_structured(question), ensure_ascii=False)
    elif question.outputs:
        said.text = "The tools answered. " + " ".join(f"{name}: {output}" for name, output in question.outputs)
    else:
        said.text = _echo(question)
    for word in question.stop:
        said.text = said.text.partition(word)[0] if word else said.text
    _cut(said, question.limit)
    return said


def pieces(text: str) -> list[str]:
    """A text as it is streamed: word by word, blanks with the word before."""
    return _WORDS.findall(text)


def tokens(size: int) -> int:
    """How many tokens so many bytes are."""
    return -(-size // BYTES_PER_TOKEN)


def summary(texts: list[str]) -> str:
    """What compaction keeps of a conversation."""
    lines = "\n".join(f"- {_short(text, 200)}" for text in texts if text.strip())
    return f"Summary of the conversation so far:\n{lines or '- nothing was said'}"


def _echo(question: Question) -> str:
    parts = [f"You said: {question.user}" if question.user else "Hello."]
    if question.images:
        many = "image" if len(question.images) == 1 else "images"
        parts.append(f"I see {len(question.images)} {many}: {', '.join(question.images)}.")
    if question.files:
        parts.append(f"I got {len(question.files)} file(s): {', '.join(question.files)}.")
    return " ".join(parts)


def _structured(question: Question) -> Any:
    return instance(question.schema) if question.schema else {"answer": _echo(question)}


def _calls(question: Question) -> list[Call]:
    if not question.may_call or question.outputs:
        return []
    offered = [tool for tool in question.tools if not question.only or tool.name in question.only]
    asked = _CALL.search(question.user)
    rest = asked.group(1) if asked else ""
    places = {tool.name: place for tool in offered if (place := _place(tool.name, rest)) is not None}
    named = sorted((tool for tool in offered if tool.name in places), key=lambda tool: places[tool.name])
    wanted = named or (offered[:1] if question.must_call else [])
    if re.search(r"\btwice\b", rest):
        wanted = [tool for tool in wanted for _ in range(2)]
    if not question.parallel:
        wanted = wanted[:1]
    given = _given(rest) if len(wanted) == 1 else None
    return [Call(tool, _input(tool, given)) for tool in wanted]


def _place(name: str, text: str) -> int | None:
    """Where a text names a tool: by its whole name, or by the last part of one that was put together (`server__tool`)."""
    for word in (name, name.rpartition("__")[2]):
        found = re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) if word else None
        if found is not None:
            return found.start()
    return None


def _given(rest: str) -> dict[str, Any] | None:
    """Arguments that the user wrote out as a JSON object."""
    start = rest.find("{")
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(rest[start:])
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _input(tool: Tool, given: dict[str, Any] | None) -> str:
    if tool.custom:
        text = given.get("input") if given else None
        return text if isinstance(text, str) else f"input of {tool.name}"
    made = given if given is not None else instance(tool.schema or {"type": "object"}, tool.name)
    return json.dumps(made if isinstance(made, dict) else {}, ensure_ascii=False)


def _cut(said: Said, limit: int | None) -> None:
    """Count what is said, and cut it where the limit is met."""
    left = None if limit is None else limit * BYTES_PER_TOKEN
    said.reasoning, left = _within(said, said.reasoning, left)
    size = len(said.reasoning.encode())
    said.tokens_reasoning = tokens(size)
    said.text, left = _within(said, said.text, left)
    said.refusal, left = _within(said, said.refusal, left)
    kept: list[Call] = []
    for call in said.calls:
        if said.cut:
            break
        call.text, left = _within(said, call.text, left)
        kept.append(call)
    said.calls = kept
    size += sum(len(text.encode()) for text in (said.text, said.refusal, *(call.text for call in kept)))
    said.tokens_out = tokens(size)


def _within(said: Said, text: str, left: int | None) -> tuple[str, int | None]:
    if left is None or not text:
        return text, left
    data = text.encode()
    if said.cut or len(data) > left:
        said.cut = True
        return data[: max(left, 0)].decode("utf-8", "ignore"), 0
    return text, left - len(data)


def _short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
