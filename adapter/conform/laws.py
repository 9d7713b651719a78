"""What must hold of any translator between the two dialects, as functions.

Each law takes the translator under test (anything with the three functions of `adapter.translate`) and a case, and returns
findings: sentences about what went wrong, none where the law holds. They raise only what the translator raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, Protocol, TypeAlias

from adapter.hub.grammar import check_chat, check_responses
from adapter.wire import jsonio
from adapter.wire.sse import Decoder

Name: TypeAlias = Literal["chat", "responses"]
Findings: TypeAlias = list[str]


class Answered(Protocol):
    """What a translator returns for a request or a reply."""

    @property
    def value(self) -> dict[str, Any]: ...


class Translator(Protocol):
    """The translator under test; `adapter.translate` is one."""

    def request(self, body: dict[str, Any], source: Name, target: Name) -> Answered: ...

    def reply(self, body: dict[str, Any], source: Name, target: Name) -> Answered: ...

    def stream(self, parts: Iterable[bytes], source: Name, target: Name) -> Iterable[bytes]: ...


TERMINALS: Final = ("response.completed", "response.incomplete", "response.failed")
FOLLOWS_THE_WAY: Final = ("sequence_number", "obfuscation")
"""What may differ in an event that went through the hub."""
_ESSENCE: Final = ("output", "status", "incomplete_details", "usage", "model")
"""What a response says, apart from ids of its own and the request's echo."""


# -------------------------------------------------------------------------------------------------------------- laws


def any_cut_gives_the_same(translator: Translator, parts: list[bytes], source: Name, target: Name) -> Findings:
    """Where the network cuts a stream changes nothing of what comes out."""
    whole = b"".join(translator.stream([b"".join(parts)], source, target))
    cut = b"".join(translator.stream(parts, source, target))
    return [] if whole == cut else [f"cut into {len(parts)} reads the stream comes out differently"]


def output_is_grammatical(translator: Translator, raw: bytes, source: Name, target: Name) -> Findings:
    """Whatever the upstream sends, the client's stream follows its grammar and ends exactly once."""
    out = b"".join(translator.stream([raw], source, target))
    if target == "responses":
        return [*map(str, check_responses(out))]
    ends = chat_endings(out)
    return [*map(str, check_chat(out)), *([] if len(ends) == 1 else [f"{len(ends)} endings"])]


def stream_says_what_the_reply_says(
    translator: Translator, raw: bytes, reply: dict[str, Any], source: Name, target: Name
) -> Findings:
    """The same answer, streamed and plain, is the same to the client."""
    out = b"".join(translator.stream([raw], source, target))
    value = translator.reply(reply, source, target).value
    try:
        streamed, plain = folded(out, target), essence(value, target)
    except (AttributeError, IndexError, KeyError, TypeError):
        return ["the stream or the reply adds up to no answer"]
    return [
        f"{key}: streamed {streamed[key]!r}, plain {plain[key]!r}" for key in plain if streamed.get(key) != plain[key]
    ]


def only_these_errors(call: Callable[[], Any], allowed: type[Exception]) -> Findings:
    """Whatever comes in, nothing is raised but the translator's own errors."""
    try:
        call()
    except allowed:
        return []
    except Exception as escaped:  # the law is about every other class
        return [f"{type(escaped).__name__}: {escaped}"]
    return []


def responses_stream_comes_out_equal(translator: Translator, events: list[dict[str, Any]], raw: bytes) -> Findings:
    """A grammatical Responses stream passes through the middle unchanged, but for numbering and the request's echo."""
    out = [_lasting(event) for event in events_of(b"".join(translator.stream([raw], "responses", "responses")))]
    given = [_lasting(event) for event in events]
    if out == given:
        return []
    for place, (a, b) in enumerate(zip(given, out, strict=False)):
        if a != b:
            return [f"event {place}: {a} came out as {b}"]
    return [f"{len(given)} events came out as {len(out)}"]


def replay_gives_back_the_message(
    translator: Translator, message: dict[str, Any], told: dict[str, Any], request: dict[str, Any]
) -> Findings:
    """What a Chat upstream said, told to a Responses client (`told`) and sent back by it, is what the upstream said.

    `request` is a Responses request; the answer is appended to its input, with an output for every call.
    """
    items = [*request["input"], *told["output"]]
    items += [
        {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": "done"}
        for item in told["output"]
        if item["type"] in ("function_call", "custom_tool_call")
    ]
    items.append({"type": "message", "role": "user", "content": "go on"})
    messages = translator.request({**request, "input": items}, "responses", "chat").value.get("messages", ())
    back = [m for m in messages if m["role"] == "assistant"]
    if len(back) != 1:
        return [f"one message came back as {len(back)}"]
    text = "".join(message.get(key) or "" for key in ("content", "refusal"))
    said_back = "".join(back[0].get(key) or "" for key in ("content", "refusal"))
    findings = [] if text == said_back else [f"{text!r} came back as {said_back!r}"]
    if (message.get("tool_calls") or None) != (back[0].get("tool_calls") or None):
        findings.append(f"{message.get('tool_calls')} came back as {back[0].get('tool_calls')}")
    return findings


# ------------------------------------------------------------------------------------------------------------- folds


def events_of(raw: bytes) -> list[dict[str, Any]]:
    """The objects among a stream's events. What is none is the finding of the grammar."""
    return [value for value in map(_object, data_of(raw)) if value is not None]


def data_of(raw: bytes) -> list[bytes]:
    """The data of a stream's events, `[DONE]` included."""
    decoder = Decoder()
    return [data for _, data in [*decoder.feed(raw), *decoder.close()]]


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = jsonio.loads(data)
    except jsonio.NotJson:
        return None
    return value if isinstance(value, dict) else None


def chat_endings(raw: bytes) -> list[str]:
    """Everything in a Chat stream that says that it is over."""
    failures = ["error" for event in events_of(raw) if event.get("error") is not None]
    return failures + ["[DONE]" for data in data_of(raw) if data == b"[DONE]"]


def essence(value: dict[str, Any], target: Name) -> dict[str, Any]:
    """What a plain reply says, apart from ids of its own and the request's echo."""
    if target == "responses":
        return {key: value[key] for key in _ESSENCE}
    choice = value["choices"][0]
    message = choice["message"]
    said = {key: message.get(key) or "" for key in ("content", "refusal", "reasoning_content")}
    calls = [(c["id"], c["type"], c[c["type"]]) for c in message.get("tool_calls") or ()]
    return {**said, "calls": calls, "finish_reason": choice["finish_reason"], "model": value["model"]}


def folded(out: bytes, target: Name) -> dict[str, Any]:
    """What a stream says, in the terms of `essence`."""
    events = events_of(out)
    if target == "responses":
        return essence(events[-1]["response"], target)
    joined: dict[str, Any] = {"content": "", "refusal": "", "reasoning_content": ""}
    calls: dict[int, dict[str, Any]] = {}
    finish = None
    for chunk in events:
        for choice in (choice for choice in chunk.get("choices", ()) if choice["index"] == 0):
            delta = choice["delta"]
            for key in joined:
                joined[key] += delta.get(key) or ""
            for fragment in delta.get("tool_calls") or ():
                _join(calls.setdefault(fragment["index"], {}), fragment)
            finish = choice.get("finish_reason") or finish
    told = [(call["id"], call["type"], call[call["type"]]) for _, call in sorted(calls.items())]
    return {**joined, "calls": told, "finish_reason": finish, "model": events[0].get("model")}


def _join(call: dict[str, Any], fragment: dict[str, Any]) -> None:
    """Add a fragment as the official SDKs do: strings are appended, the index and type replaced, nulls passed over."""
    for key, value in fragment.items():
        if isinstance(value, dict):
            _join(call.setdefault(key, {}), value)
        elif key in ("index", "type"):
            call[key] = value
        elif value is not None:
            call[key] = call.get(key, "") + value


def _lasting(event: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in event.items() if key not in FOLLOWS_THE_WAY}
    if isinstance(kept.get("response"), dict):
        kept["response"] = {
            key: kept["response"].get(key) for key in (*_ESSENCE, "id", "object", "created_at", "error")
        }
    return kept
