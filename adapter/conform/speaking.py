"""One answer, said in every form: the hub's events, a Responses stream, Chat chunks, the plain replies.

An answer is its finished Responses items; `width` says how many characters a delta holds. The three renderings are written
out on their own, apart from the adapter's writers, so that agreement between them and the adapter means something.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from adapter.hub.events import (
    NO_PART,
    Annotated,
    Delta,
    DeltaKind,
    Event,
    Finished,
    ItemClosed,
    ItemOpened,
    PartClosed,
    PartOpened,
    Started,
    Usage,
)
from adapter.wire import jsonio
from adapter.wire.sse import framed

Reason: TypeAlias = Literal["max_output_tokens", "content_filter"]
PARAGRAPH: Final = "\n\n"
"""Between two parts of reasoning, where there is one string for all of it."""
CREATED: Final = 1_764_000_000
STRINGS: Final = {
    "function_call": ("arguments", DeltaKind.ARGUMENTS, "response.function_call_arguments"),
    "custom_tool_call": ("input", DeltaKind.INPUT, "response.custom_tool_call_input"),
}
PART_EVENTS: Final = {
    "output_text": ("text", DeltaKind.TEXT, "response.output_text", "response.content_part", "content_index"),
    "refusal": ("refusal", DeltaKind.REFUSAL, "response.refusal", "response.content_part", "content_index"),
    "reasoning_text": (
        "text",
        DeltaKind.REASONING,
        "response.reasoning_text",
        "response.content_part",
        "content_index",
    ),
    "summary_text": (
        "text",
        DeltaKind.SUMMARY,
        "response.reasoning_summary_text",
        "response.reasoning_summary_part",
        "summary_index",
    ),
}
"""Part type -> (its text field, delta kind, its text events, its part events, the key of its index)."""


@dataclass(slots=True)
class Spoken:
    """One answer."""

    items: list[dict[str, Any]]
    """Finished output items with ids and statuses."""
    id: str = "resp_spoken"
    model: str = "m"
    status: Literal["completed", "incomplete"] = "completed"
    reason: Reason | None = None
    usage: dict[str, Any] = field(default_factory=lambda: usage(7, 5))
    """Empty: the server reports none."""
    width: int = 3
    """Characters per delta."""

    @property
    def text(self) -> str:
        """All output text, joined."""
        return "".join(part.get("text", "") for part in self._parts())

    @property
    def refusal(self) -> str:
        """All refusals, joined."""
        return "".join(part.get("refusal", "") for part in self._parts())

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The call items, in order."""
        return [item for item in self.items if item["type"] in STRINGS]

    def _parts(self) -> Iterator[dict[str, Any]]:
        for item in self.items:
            if item["type"] == "message":
                yield from item["content"]

    def cut(self, text: str) -> list[str]:
        """A text as its deltas."""
        return [text[at : at + self.width] for at in range(0, len(text), self.width)]


def usage(tokens_in: int, tokens_out: int) -> dict[str, Any]:
    """Usage in the hub's normal form."""
    return {
        "input_tokens": tokens_in,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens_in + tokens_out,
    }


def groups(item: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The parts of an item with their indices, summary before content as on the wire."""
    for group in ("summary", "content"):
        yield from enumerate(item.get(group) or ())


def skeleton(item: dict[str, Any]) -> dict[str, Any]:
    """An item as it is when it opens."""
    empty: dict[str, Any] = {"status": "in_progress"} if "status" in item else {}
    empty |= {key: [] for key in ("content", "summary") if key in item}
    empty |= {key: "" for key in ("arguments", "input") if item["type"] in STRINGS and key in item}
    return {**item, **empty}


def empty_part(part: dict[str, Any]) -> dict[str, Any]:
    """A part as it is when it opens."""
    emptied: dict[str, Any] = {PART_EVENTS[part["type"]][0]: ""}
    return {**part, **emptied, **{key: [] for key in ("annotations", "logprobs") if key in part}}


# --------------------------------------------------------------------------------------------------------------- hub


def hub_events(spoken: Spoken) -> list[Event]:
    """The answer as hub events."""
    events: list[Event] = [Started(spoken.id, spoken.model, CREATED)]
    for index, item in enumerate(spoken.items):
        events.append(ItemOpened(index, skeleton(item)))
        if item["type"] in STRINGS:
            key, kind, _ = STRINGS[item["type"]]
            events += [Delta(index, NO_PART, kind, piece) for piece in spoken.cut(item[key])]
        for part_index, part in groups(item):
            key, kind, *_ = PART_EVENTS[part["type"]]
            events.append(PartOpened(index, part_index, empty_part(part)))
            events += [Delta(index, part_index, kind, piece) for piece in spoken.cut(part[key])]
            notes = part.get("annotations") or ()
            events += [Annotated(index, part_index, place, note) for place, note in enumerate(notes)]
            events.append(PartClosed(index, part_index, part))
        events.append(ItemClosed(index, item))
    counted = [Usage(spoken.usage)] if spoken.usage else []
    return [*events, *counted, Finished(spoken.status, spoken.reason)]


# --------------------------------------------------------------------------------------------------------- Responses


def response(spoken: Spoken, status: str | None = None) -> dict[str, Any]:
    """The response object: finished, or as it is while `status` is in_progress."""
    done = status is None
    return {
        "id": spoken.id,
        "object": "response",
        "created_at": CREATED,
        "completed_at": CREATED if done and spoken.status == "completed" else None,
        "status": status or spoken.status,
        "error": None,
        "incomplete_details": {"reason": spoken.reason} if done and spoken.reason else None,
        "instructions": None,
        "max_output_tokens": None,
        "model": spoken.model,
        "output": spoken.items if done else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": (spoken.usage or None) if done else None,
        "metadata": {},
    }


def responses_events(spoken: Spoken) -> list[dict[str, Any]]:
    """The answer as the events of a Responses stream."""
    events: list[dict[str, Any]] = []

    def say(kind: str, **fields: Any) -> None:
        events.append({"type": kind, "sequence_number": len(events), **fields})

    say("response.created", response=response(spoken, "in_progress"))
    say("response.in_progress", response=response(spoken, "in_progress"))
    for index, item in enumerate(spoken.items):
        at = {"output_index": index, "item_id": item["id"]}
        say("response.output_item.added", output_index=index, item=skeleton(item))
        if item["type"] in STRINGS:
            key, _, name = STRINGS[item["type"]]
            for piece in spoken.cut(item[key]):
                say(f"{name}.delta", **at, delta=piece)
            say(f"{name}.done", **at, **{key: item[key]}, **({"name": item["name"]} if key == "arguments" else {}))
        for part_index, part in groups(item):
            key, _, text_event, part_event, index_key = PART_EVENTS[part["type"]]
            here: dict[str, Any] = {**at, index_key: part_index}
            extra: dict[str, Any] = {"logprobs": []} if part["type"] == "output_text" else {}
            say(f"{part_event}.added", **here, part=empty_part(part))
            for piece in spoken.cut(part[key]):
                say(f"{text_event}.delta", **here, delta=piece, **extra)
            for place, note in enumerate(part.get("annotations") or ()):
                say("response.output_text.annotation.added", **here, annotation_index=place, annotation=note)
            say(f"{text_event}.done", **here, **{key: part[key]}, **extra)
            say(f"{part_event}.done", **here, part=part)
        say("response.output_item.done", output_index=index, item=item)
    say(f"response.{spoken.status}", response=response(spoken))
    return events


def responses_stream(spoken: Spoken) -> bytes:
    """The raw bytes of `responses_events`."""
    return b"".join(framed(event["type"], jsonio.dumps(event)) for event in responses_events(spoken))


# --------------------------------------------------------------------------------------------------------------- Chat


def chat_finish(spoken: Spoken) -> str:
    """The finish_reason."""
    if spoken.reason is not None:
        return "length" if spoken.reason == "max_output_tokens" else "content_filter"
    return "tool_calls" if spoken.calls else "stop"


def chat_usage(spoken: Spoken) -> dict[str, Any] | None:
    """The usage in the Chat spelling."""
    counts = spoken.usage
    if not counts:
        return None
    return {
        "prompt_tokens": counts["input_tokens"],
        "completion_tokens": counts["output_tokens"],
        "total_tokens": counts["total_tokens"],
    }


def chat_call(item: dict[str, Any], text: str) -> dict[str, Any]:
    """A call item as a tool call that says `text`."""
    kind, key = ("custom", "input") if item["type"] == "custom_tool_call" else ("function", "arguments")
    return {"id": item["call_id"], "type": kind, kind: {"name": item["name"], key: text}} | chat_signed(item)


def chat_signed(item: dict[str, Any]) -> dict[str, Any]:
    """What the server wants back with a text or a call, as a member of its message or call."""
    return {"extra_content": item["extra_content"]} if "extra_content" in item else {}


def chat_message(spoken: Spoken) -> dict[str, Any]:
    """The assistant message of the plain reply."""
    message: dict[str, Any] = {"role": "assistant", "content": spoken.text or None, "refusal": spoken.refusal or None}
    reasoning = [part["text"] for item in spoken.items if item["type"] == "reasoning" for _, part in groups(item)]
    if reasoning:
        message["reasoning_content"] = PARAGRAPH.join(reasoning)
    if spoken.calls:
        message["tool_calls"] = [chat_call(item, item[STRINGS[item["type"]][0]]) for item in spoken.calls]
    elif not spoken.refusal:
        message["content"] = spoken.text
    for item in spoken.items:
        if item["type"] == "message":
            message |= chat_signed(item)
    return message


def chat_completion(spoken: Spoken) -> dict[str, Any]:
    """The plain reply."""
    choice = {"index": 0, "message": chat_message(spoken), "logprobs": None, "finish_reason": chat_finish(spoken)}
    return {**_head(spoken, "chat.completion"), "choices": [choice], "usage": chat_usage(spoken)}


def chat_chunks(spoken: Spoken) -> list[dict[str, Any]]:
    """The answer as chunks, usage chunk last."""
    chunks: list[dict[str, Any]] = []

    def say(delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunks.append({**_head(spoken, "chat.completion.chunk"), "choices": [choice], "usage": None})

    say({"role": "assistant", "content": "", "refusal": None})
    calls = thoughts = 0
    for item in spoken.items:
        for _, part in groups(item):
            key = {"output_text": "content", "refusal": "refusal"}.get(part["type"], "reasoning_content")
            if key == "reasoning_content":
                if thoughts:
                    say({key: PARAGRAPH})
                thoughts += 1
            for piece in spoken.cut(part[PART_EVENTS[part["type"]][0]]):
                say({key: piece})
        if item["type"] == "message" and chat_signed(item):
            say({"content": "", **chat_signed(item)})
        if item["type"] in STRINGS:
            call = chat_call(item, "")
            kind, key = call["type"], STRINGS[item["type"]][0]
            say({"tool_calls": [{"index": calls, **call}]})
            for piece in spoken.cut(item[key]):
                say({"tool_calls": [{"index": calls, kind: {key: piece}}]})
            calls += 1
    say({}, chat_finish(spoken))
    counted = chat_usage(spoken)
    return [*chunks, {**_head(spoken, "chat.completion.chunk"), "choices": [], "usage": counted}] if counted else chunks


def chat_stream(spoken: Spoken) -> bytes:
    """The raw bytes of `chat_chunks`, with `[DONE]`."""
    return b"".join(framed(None, jsonio.dumps(chunk)) for chunk in chat_chunks(spoken)) + framed(None, b"[DONE]")


def _head(spoken: Spoken, kind: str) -> dict[str, Any]:
    token = spoken.id.removeprefix("resp_")
    return {"id": f"chatcmpl-{token}", "object": kind, "created": CREATED, "model": spoken.model}
