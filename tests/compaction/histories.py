"""Histories to compact: short words for items, and Hypothesis strategies for odd ones."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from adapter.compaction.sealing import KeyRing
from adapter.hub.events import Item
from adapter.hub.fold import Answer
from adapter.hub.request import Request

RING = KeyRing([bytes(range(32))])


def user(text: str) -> Item:
    return {"type": "message", "role": "user", "content": text}


def developer(text: str) -> Item:
    return {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": text}]}


def assistant(text: str) -> Item:
    return {"type": "message", "role": "assistant", "content": text}


def call(id: str, arguments: str = "{}") -> Item:
    return {"type": "function_call", "call_id": id, "name": "shell", "arguments": arguments}


def output(id: str, text: Any = "ok") -> Item:
    return {"type": "function_call_output", "call_id": id, "output": text}


def reasoning(text: str) -> Item:
    return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}


def request(items: list[Item], **body: Any) -> Request:
    return Request({"model": "m", "input": items, **body})


def answer(text: str, **facts: Any) -> Answer:
    """A finished answer with one message; "" for one without any text."""
    parts = [{"type": "output_text", "text": text, "annotations": []}] if text else []
    item = {"type": "message", "id": "msg_0", "role": "assistant", "status": "completed", "content": parts}
    return Answer(id="resp_0", model="m", items={0: item}, **{"status": "completed", **facts})


def usage(tokens_in: int, tokens_out: int) -> dict[str, Any]:
    return {
        "input_tokens": tokens_in,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens_in + tokens_out,
    }


# -------------------------------------------------------------------------------------------------------- strategies

texts = st.text(st.characters(exclude_categories=[]), max_size=20) | st.sampled_from(["x" * 250, "é\n" * 150])
call_ids = st.sampled_from(["call_1", "call_2", "call_3", "call_4"])
parts = st.one_of(
    st.builds(lambda t: {"type": "input_text", "text": t}, texts),
    st.just({"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"}),
    st.just({"type": "input_image", "image_url": "https://example.com/a.png"}),
)
contents = texts | st.lists(parts, max_size=3)
sound_items: st.SearchStrategy[Item] = st.one_of(
    st.builds(
        lambda role, content: {"type": "message", "role": role, "content": content},
        st.sampled_from(["user", "user", "developer", "system"]),
        contents,
    ),
    st.builds(assistant, texts),
    st.builds(call, call_ids, texts),
    st.builds(output, call_ids, contents),
    st.builds(lambda i, t: {"type": "custom_tool_call", "call_id": i, "name": "patch", "input": t}, call_ids, texts),
    st.builds(lambda i, t: {"type": "custom_tool_call_output", "call_id": i, "output": t}, call_ids, texts),
    st.builds(reasoning, texts),
)
"""Items that a Responses reader takes, in any order: orphan calls and outputs, images, lone surrogates."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda v: st.lists(v, max_size=2) | st.dictionaries(texts, v, max_size=2),
)
_KEYS = ["type", "role", "content", "call_id", "id", "output", "arguments", "input", "action", "name", "namespace"]
_TYPES = [
    "message",
    "function_call",
    "function_call_output",
    "shell_call_output",
    "local_shell_call",
    "mcp_call",
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "compaction",
    "tool_search_output",
    "vendor:thing",
]
odd_items: st.SearchStrategy[Item] = st.dictionaries(st.sampled_from(_KEYS) | texts, json_values, max_size=4).flatmap(
    lambda item: st.sampled_from([item, *({**item, "type": type_} for type_ in _TYPES)])
)
"""Items that nobody should send."""

histories = st.lists(sound_items, max_size=10)
odd_histories = st.lists(sound_items | odd_items, max_size=10)
