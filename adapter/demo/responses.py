"""The demo's Responses speaker: an answer into events, and the events into a reply; compaction too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from adapter.demo.asking import check_types, text_of
from adapter.demo.brain import Said, Tool, answer, pieces, summary, tokens
from adapter.demo.chat import CREATED
from adapter.demo.native import NATIVE
from adapter.demo.responses_asked import input_items, question

SEALED: Final = "demo-summary:"
"""The demo's compaction is not encrypted: it is a demo, and its summary is a list of what was said."""
ECHOED: Final[dict[str, tuple[Any, tuple[type, ...]]]] = {
    "instructions": (None, (str, list)),
    "max_output_tokens": (None, (int,)),
    "max_tool_calls": (None, (int,)),
    "metadata": ({}, (dict,)),
    "parallel_tool_calls": (True, (bool,)),
    "previous_response_id": (None, (str,)),
    "prompt_cache_key": (None, (str,)),
    "safety_identifier": (None, (str,)),
    "temperature": (1.0, (int, float)),
    "tool_choice": ("auto", (str, dict)),
    "top_logprobs": (0, (int,)),
    "top_p": (1.0, (int, float)),
    "truncation": ("disabled", (str,)),
    "presence_penalty": (0.0, (int, float)),
    "frequency_penalty": (0.0, (int, float)),
}
"""Fields that a response repeats: what they are when the request says nothing, and of which types they may be."""
FORMED: Final[dict[str, tuple[type, ...]]] = {
    "tools": (list,),
    "text": (dict,),
    "reasoning": (dict,),
    "background": (bool,),
}
"""Those that it repeats in a form of its own; nothing runs in the background."""
PARTS: Final = {
    "output_text": ("text", "response.output_text", "response.content_part", "content_index"),
    "refusal": ("refusal", "response.refusal", "response.content_part", "content_index"),
    "reasoning_text": ("text", "response.reasoning_text", "response.content_part", "content_index"),
    "summary_text": ("text", "response.reasoning_summary_text", "response.reasoning_summary_part", "summary_index"),
}
"""Part type -> where its text is, the events of that, its own events, the key of its index."""


# --------------------------------------------------------------------------------------------------------- speaking


class Speech:
    """One answer as the events of its stream; afterwards `response` is the plain reply."""

    def __init__(self, body: dict[str, Any], size: int, token: str) -> None:
        check_types(body, {key: types for key, (_, types) in ECHOED.items()} | FORMED)
        self._body = body
        self._token = token
        self._compacts = _wants_compaction(body)
        self._said = Said() if self._compacts else answer(question(body))
        self._size = size
        self._sequence = 0
        self._output: list[dict[str, Any]] = []
        self.response = self._object("in_progress")

    def events(self) -> Iterator[dict[str, Any]]:
        """Every event of the stream, in order."""
        said = self._said
        yield self._event("response.created", response=self.response)
        yield self._event("response.in_progress", response=self.response)
        if self._compacts:
            yield from self._item(compaction(self._body, self._token), iter(()))
        if said.reasoning:
            yield from self._reasoning(said.reasoning)
        if (said.text or said.refusal or not said.calls) and not self._compacts:
            yield from self._message(said)
        for index, call in enumerate(said.calls):
            yield from self._call(index, call.tool, call.text, cut=said.cut and index == len(said.calls) - 1)
        self.response = self._object("incomplete" if said.cut else "completed")
        yield self._event(f"response.{self.response['status']}", response=self.response)

    def _event(self, kind: str, **fields: Any) -> dict[str, Any]:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event

    def _item(self, item: dict[str, Any], body: Iterator[dict[str, Any]], **empty: Any) -> Iterator[dict[str, Any]]:
        index = len(self._output)
        yield self._event("response.output_item.added", output_index=index, item={**item, **empty})
        for event in body:
            yield self._event(event.pop("type"), output_index=index, item_id=item["id"], **event)
        self._output.append(item)
        yield self._event("response.output_item.done", output_index=index, item=item)

    def _message(self, said: Said) -> Iterator[dict[str, Any]]:
        logprobs = [_logprob(word) for word in pieces(said.text)] if self._wants_logprobs() else []
        part: dict[str, Any] = (
            {"type": "refusal", "refusal": said.refusal}
            if said.refusal
            else {"type": "output_text", "text": said.text, "annotations": [], "logprobs": logprobs}
        )
        item = {
            "type": "message",
            "id": f"msg_{self._token}_{len(self._output)}",
            "status": "incomplete" if said.cut else "completed",
            "role": "assistant",
            "content": [part],
        }
        yield from self._item(item, self._part(part), status="in_progress", content=[])

    def _part(self, part: dict[str, Any]) -> Iterator[dict[str, Any]]:
        field, said, own, index = PARTS[part["type"]]
        at = {index: 0}

        def told(logprobs: list[Any]) -> dict[str, Any]:
            return {"logprobs": logprobs} if "logprobs" in part else {}

        yield {"type": f"{own}.added", **at, "part": {**part, field: "", **told([])}}
        for place, piece in enumerate(pieces(part[field])):
            yield {"type": f"{said}.delta", **at, "delta": piece, **told(part.get("logprobs", [])[place : place + 1])}
        yield {"type": f"{said}.done", **at, field: part[field], **told(part.get("logprobs", []))}
        yield {"type": f"{own}.done", **at, "part": part}

    def _reasoning(self, text: str) -> Iterator[dict[str, Any]]:
        asked = self._body.get("reasoning")
        summarised = isinstance(asked, dict) and asked.get("summary") is not None
        group, kind = ("summary", "summary_text") if summarised else ("content", "reasoning_text")
        part = {"type": kind, "text": text}
        item = {"type": "reasoning", "id": f"rs_{self._token}_{len(self._output)}", "summary": [], group: [part]}
        yield from self._item(item, self._part(part), **{"summary": [], group: []})

    def _call(self, index: int, tool: Tool, text: str, *, cut: bool) -> Iterator[dict[str, Any]]:
        if tool.native:
            yield from self._native(index, tool, text, cut=cut)
            return
        custom = tool.custom
        field = "input" if custom else "arguments"
        kind = "response.custom_tool_call_input" if custom else "response.function_call_arguments"
        item = {
            "type": "custom_tool_call" if custom else "function_call",
            "id": f"{'ctc' if custom else 'fc'}_{self._token}_{len(self._output)}",
            "status": "incomplete" if cut else "completed",
            "call_id": f"call_{self._token[:16]}_{index}",
            "name": tool.name,
            **({"namespace": tool.namespace} if tool.namespace else {}),
            field: text,
        }
        events: list[dict[str, Any]] = [{"type": f"{kind}.delta", "delta": piece} for piece in pieces(text)]
        events.append({"type": f"{kind}.done", field: text, **({} if custom else {"name": tool.name})})
        yield from self._item(item, iter(events), status="in_progress", **{field: ""})

    def _native(self, index: int, tool: Tool, text: str, *, cut: bool) -> Iterator[dict[str, Any]]:
        native = NATIVE[tool.name]
        item = {
            "type": native.item,
            "id": f"{native.prefix}_{self._token}_{len(self._output)}",
            "status": "incomplete" if cut else "completed",
            "call_id": f"call_{self._token[:16]}_{index}",
            **native.fields({} if cut else json.loads(text)),
        }
        yield from self._item(item, iter(()), status="in_progress")

    def _wants_logprobs(self) -> bool:
        include = self._body.get("include")
        return isinstance(include, list) and "message.output_text.logprobs" in include

    def _object(self, status: str) -> dict[str, Any]:
        body, ended = self._body, status != "in_progress"
        echo = {key: value if body.get(key) is None else body[key] for key, (value, _) in ECHOED.items()}
        return {
            "id": f"resp_{self._token}",
            "object": "response",
            "created_at": CREATED,
            "completed_at": CREATED if status == "completed" else None,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "model": body["model"],
            "output": list(self._output),
            **echo,
            "tools": [_tool_echo(tool) for tool in body.get("tools") or ()],
            "text": {"format": {"type": "text"}, **(body.get("text") or {})},
            "reasoning": {"effort": None, "summary": None, **(body.get("reasoning") or {})},
            "service_tier": "default",
            "background": False,
            "store": False,
            "usage": usage(self._said, self._size) if ended else None,
        }


def _tool_echo(tool: Any) -> Any:
    if isinstance(tool, dict) and tool.get("type") == "function":
        return {**tool, "parameters": tool.get("parameters"), "strict": bool(tool.get("strict"))}
    return tool


def _logprob(word: str) -> dict[str, Any]:
    return {"token": word, "logprob": -0.1, "bytes": list(word.encode()), "top_logprobs": []}


def usage(said: Said, size: int) -> dict[str, Any]:
    """Token counts in the Responses spelling."""
    tokens_in = tokens(size)
    return {
        "input_tokens": tokens_in,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": said.tokens_out,
        "output_tokens_details": {"reasoning_tokens": said.tokens_reasoning},
        "total_tokens": tokens_in + said.tokens_out,
    }


def reply(body: dict[str, Any], size: int, token: str) -> dict[str, Any]:
    """The plain `response`."""
    speech = Speech(body, size, token)
    for _ in speech.events():
        pass
    return speech.response


def framed(body: dict[str, Any], size: int, token: str) -> Iterator[bytes]:
    """The stream as it goes out."""
    for event in Speech(body, size, token).events():
        data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        yield f"event: {event['type']}\ndata: {data}\n\n".encode()


# ------------------------------------------------------------------------------------------------------- compaction


def _wants_compaction(body: dict[str, Any]) -> bool:
    given = body.get("input")
    return isinstance(given, list) and bool(given) and given[-1] == {"type": "compaction_trigger"}


def compaction(body: dict[str, Any], token: str) -> dict[str, Any]:
    """The compaction item for a request."""
    texts = [text_of(item.get("content") or item.get("output")) for item in input_items(body)]
    return {"type": "compaction", "id": f"cmp_{token}", "encrypted_content": SEALED + summary(texts)}


def compacted(body: dict[str, Any], size: int, token: str) -> dict[str, Any]:
    """The `response.compaction`: the user's messages, then the compaction item."""
    output = [
        {
            "type": "message",
            "id": f"msg_{token}_{index}",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_text", "text": text_of(item.get("content"))}],
        }
        for index, item in enumerate(input_items(body))
        if item.get("role") == "user"
    ]
    item = compaction(body, token)
    said = Said(tokens_out=tokens(len(item["encrypted_content"].encode())))
    return {
        "id": f"resp_{token}",
        "object": "response.compaction",
        "created_at": CREATED,
        "output": [*output, item],
        "usage": usage(said, size),
    }
