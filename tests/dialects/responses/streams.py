"""Responses streams as Hypothesis makes them: grammatical ones, damaged ones, and nonsense in the API's vocabulary."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]
TEXTS = st.lists(st.sampled_from(["a", "Hello", " wörld", "\n", "😀", ""]), max_size=3)
CITATION = {"type": "url_citation", "url": "https://e.org", "title": "E", "start_index": 0, "end_index": 1}
ECHO: Json = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": "Be brief.",
    "max_output_tokens": 64,
    "max_tool_calls": None,
    "metadata": {"a": "b"},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": "low", "summary": None},
    "safety_identifier": None,
    "service_tier": "auto",
    "store": True,
    "temperature": 0.5,
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "tool_choice": {"type": "function", "name": "f"},
    "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "auto",
}


def response(status: str, output: list[Json], **changes: Any) -> Json:
    """A Response object with every key."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 10,
        "completed_at": 12 if status == "completed" else None,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": "m",
        "output": output,
        "usage": None,
        **ECHO,
        **changes,
    }


def text_events(at: Json, prefix: str, field: str, pieces: list[str], extra: Json) -> list[Json]:
    deltas = [{"type": f"{prefix}.delta", **at, "delta": piece, **extra} for piece in pieces]
    return [*deltas, {"type": f"{prefix}.done", **at, field: "".join(pieces), **extra}]


def part_events(draw: Any, index: int, item_id: str, k: int, kind: str) -> tuple[list[Json], Json]:
    """The events of one part, and the part."""
    summary = kind == "summary_text"
    at = {"item_id": item_id, "output_index": index, "summary_index" if summary else "content_index": k}
    pieces = draw(TEXTS)
    field = "refusal" if kind == "refusal" else "text"
    prefix = "response.reasoning_summary_text" if summary else f"response.{kind}"
    part_prefix = "response.reasoning_summary_part" if summary else "response.content_part"
    more: Json = {"annotations": [], "logprobs": []} if kind == "output_text" else {}
    events = text_events(at, prefix, field, pieces, {"logprobs": []} if kind == "output_text" else {})
    whole = {"type": kind, field: "".join(pieces), **copy.deepcopy(more)}
    if kind == "output_text" and draw(st.booleans()):
        annotation = {"annotation_index": 0, "annotation": CITATION}
        events.insert(-1, {"type": "response.output_text.annotation.added", **at, **annotation})
        whole["annotations"] = [CITATION]
    opened = {"type": f"{part_prefix}.added", **at, "part": {"type": kind, field: "", **more}}
    return [opened, *events, {"type": f"{part_prefix}.done", **at, "part": whole}], whole


def item_events(draw: Any, index: int, kind: str, status: str) -> tuple[list[Json], Json]:
    """The events of one item, and the item."""
    item_id = f"it_{index}"
    item: Json = {"type": kind, "id": item_id, "status": status}
    opened: Json = {"type": kind, "id": item_id, "status": "in_progress"}
    body: list[Json] = []
    if kind in ("message", "reasoning"):
        groups = {"message": ["content"], "reasoning": ["summary", "content"]}[kind]
        for group in groups:
            kinds = {"message": ["output_text", "refusal"], "reasoning": ["reasoning_text"]}[kind]
            if group == "summary":
                kinds = ["summary_text"]
            item[group], opened[group] = [], []
            for k in range(draw(st.integers(0, 2))):
                events, part = part_events(draw, index, item_id, k, draw(st.sampled_from(kinds)))
                body += events
                item[group].append(part)
        if kind == "message":
            item["role"] = opened["role"] = "assistant"
    elif kind in ("function_call", "custom_tool_call"):
        field, prefix = {
            "function_call": ("arguments", "response.function_call_arguments"),
            "custom_tool_call": ("input", "response.custom_tool_call_input"),
        }[kind]
        pieces = ['{"a":', *draw(TEXTS), "1}"]
        named = {"call_id": f"call_{index}", "name": "f"}
        item |= named | {field: "".join(pieces)}
        opened |= named | {field: ""}
        at = {"item_id": item_id, "output_index": index}
        body = text_events(at, prefix, field, pieces, {})
        if kind == "function_call":
            body[-1]["name"] = "f"
    elif kind == "web_search_call":
        action = {"type": "search", "query": "q", "sources": []}
        item["action"], opened["action"] = action, action
        at = {"output_index": index, "item_id": item_id}
        body = [
            {"type": f"response.web_search_call.{phase}", **at} for phase in ("in_progress", "searching", "completed")
        ]
    elif kind == "future_call":
        at = {"output_index": index, "item_id": item_id}
        body = [{"type": f"response.future_call{what}", **at, "x": 1} for what in (".begun", "_code.delta", ".done")]
    else:
        for form in (item, opened):
            del form["status"]
            form["encrypted_content"] = "xyz"
    return [
        {"type": "response.output_item.added", "output_index": index, "item": opened},
        *body,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ], item


@st.composite
def answers(draw: Any) -> list[Json]:
    """A grammatical stream with every kind of item."""
    kinds = ["message", "reasoning", "function_call", "custom_tool_call", "web_search_call", "compaction"]
    kinds.append("future_call")
    chosen = draw(st.lists(st.sampled_from(kinds), max_size=4))
    end = draw(st.sampled_from(["completed", "completed", "incomplete", "failed"]))
    events: list[Json] = []
    output: list[Json] = []
    for index, kind in enumerate(chosen):
        cut = end == "incomplete" and index == len(chosen) - 1 and kind in ("message", "function_call", "reasoning")
        made, item = item_events(draw, index, kind, "incomplete" if cut else "completed")
        events += made
        output.append(item)
    usage = {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 7,
    }
    begun = response("in_progress", [])
    changes: Json = {"usage": usage, "service_tier": "default"}
    if end == "incomplete":
        changes["incomplete_details"] = {"reason": draw(st.sampled_from(["max_output_tokens", "content_filter"]))}
    if end == "failed":
        changes["error"] = {"code": "server_error", "message": "no"}
    prologue = [{"type": f"response.{name}", "response": begun} for name in ("created", "in_progress")]
    whole = [*prologue, *events, {"type": f"response.{end}", "response": response(end, output, **changes)}]
    return [{**event, "sequence_number": n} for n, event in enumerate(whole)]


UNCOMPARED = ("error", "response.created", "response.queued", "response.in_progress")


def comparable(events: list[Json]) -> list[Json]:
    """Without numbers and padding, without the prologue (which is normalised) and the `error` event that we put before a
    failure (which knows nothing of tiers)."""
    kept = [
        {key: value for key, value in event.items() if key not in ("sequence_number", "obfuscation")}
        for event in events
        if event["type"] not in UNCOMPARED
    ]
    if kept and kept[-1]["type"] == "response.failed":
        kept[-1]["response"] = {**kept[-1]["response"], "service_tier": None}
    return kept


def damaged(events: list[Json], chance: Any) -> list[Any]:
    """The stream as a careless server or proxy sends it on."""
    out: list[Any] = []
    for event in copy.deepcopy(events):
        roll = chance.random()
        if roll < 0.12:
            continue
        if roll < 0.2:
            out.append(copy.deepcopy(event))
        if roll < 0.45 and len(event) > 1:
            key = chance.choice(sorted(event))
            event.pop(key) if chance.random() < 0.6 else event.update(
                {key: chance.choice(["", "x", 7, 0, None, [], {}])}
            )
        if isinstance(event.get("item"), dict) and roll > 0.85 and event["item"]:
            inner = event["item"]
            key = chance.choice(sorted(inner))
            inner.pop(key) if chance.random() < 0.6 else inner.update({key: chance.choice(["", "x", 7, None, [], {}])})
        out.append(event)
    if chance.random() < 0.3:
        del out[chance.randrange(len(out) + 1) :]
    if chance.random() < 0.2:
        for event in out:
            event.pop("output_index", None)
    if chance.random() < 0.1:
        chance.shuffle(out)
    return out


WORDS = st.sampled_from(
    [
        "response.created",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.refusal.delta",
        "response.output_text.annotation.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.delta",
        "response.web_search_call.searching",
        "acme:thing",
        "response.completed",
        "response.incomplete",
        "unheard.of",
    ]
)
SCALARS = st.sampled_from([None, 0, 1, 2, -1, True, 1.5, "", "x", "\ud83d", "{}", [], {}, ["x"], {"text": "t"}])
ITEM_TYPES = st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "tool_search_call", "z"])
PART_TYPES = st.sampled_from(["output_text", "refusal", "reasoning_text", "summary_text", "text", "input_text", "odd"])
PARTS = st.fixed_dictionaries(
    {"type": PART_TYPES}, optional={"text": SCALARS, "refusal": SCALARS, "annotations": SCALARS, "logprobs": SCALARS}
)
ITEMS = st.fixed_dictionaries(
    {"type": ITEM_TYPES},
    optional={
        "id": SCALARS,
        "name": st.sampled_from(["f", "", None, 3]),
        "call_id": st.sampled_from(["c", "d", "", None, "x" * 80]),
        "arguments": SCALARS,
        "input": SCALARS,
        "status": st.sampled_from(["completed", "incomplete", "in_progress", None, 4]),
        "content": st.lists(PARTS | SCALARS, max_size=2) | SCALARS,
        "summary": st.lists(PARTS | SCALARS, max_size=2) | SCALARS,
    },
)
RESPONSES = st.fixed_dictionaries(
    {},
    optional={
        "id": SCALARS,
        "model": SCALARS,
        "created_at": SCALARS,
        "status": st.sampled_from(["completed", "incomplete", "failed", "queued", None, 3]),
        "output": st.lists(ITEMS | SCALARS, max_size=3) | SCALARS,
        "usage": SCALARS | st.just({"input_tokens": 1, "output_tokens": "2"}),
        "error": SCALARS,
        "metadata": SCALARS,
        "tools": SCALARS,
        "temperature": SCALARS,
        "incomplete_details": SCALARS,
        "output_text": SCALARS,
    },
)


def nonsense() -> st.SearchStrategy[Any]:
    """Events in the API's words, put together by someone who has not read it."""
    event = st.fixed_dictionaries(
        {"type": WORDS},
        optional={
            "output_index": st.sampled_from([0, 1, 2, None, "0", True]),
            "content_index": st.sampled_from([0, 1, None, -1]),
            "summary_index": st.sampled_from([0, 1, None]),
            "item_id": SCALARS,
            "delta": SCALARS | st.just("text"),
            "text": SCALARS,
            "arguments": SCALARS,
            "name": SCALARS,
            "item": ITEMS | SCALARS,
            "part": PARTS | SCALARS,
            "annotation": SCALARS,
            "logprobs": SCALARS | st.just([{"token": "a", "logprob": -1}]),
            "response": RESPONSES | SCALARS,
        },
    )
    return event.map(_writable)


def _writable(event: Json) -> Json:
    """Lone surrogates cannot be dumped by the tests' own serialiser; the playbooks have them."""
    return {key: ("?" if value == "\ud83d" else value) for key, value in event.items()} if _clean(event) else {}


def _clean(value: Any) -> bool:
    if isinstance(value, str):
        return value.isascii() or value.isprintable()
    if isinstance(value, dict):
        return all(_clean(inner) for inner in value.values())
    return all(_clean(inner) for inner in value) if isinstance(value, list) else True


def replies(json: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Response objects with anything in them."""
    return RESPONSES.flatmap(
        lambda base: st.dictionaries(st.sampled_from(["output", "x"]), json, max_size=1).map(base.__or__)
    )


def requests() -> st.SearchStrategy[Any]:
    """Request bodies in the API's words."""
    item = st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(
                [
                    "message",
                    "function_call",
                    "function_call_output",
                    "reasoning",
                    "item_reference",
                    "compaction",
                    "compaction_trigger",
                    "additional_tools",
                    "local_shell_call",
                    "new_thing",
                    None,
                    3,
                ]
            ),
            "role": st.sampled_from(["user", "assistant", "tool", 3, None]),
            "content": st.lists(PARTS | SCALARS, max_size=2) | SCALARS | st.just("hi"),
            "id": SCALARS,
            "call_id": SCALARS | st.just("c"),
            "name": SCALARS | st.just("f"),
            "arguments": SCALARS,
            "output": SCALARS | st.lists(PARTS, max_size=2),
            "tools": SCALARS,
            "encrypted_content": SCALARS,
        },
    )
    tool = st.fixed_dictionaries(
        {}, optional={"type": st.sampled_from(["function", "custom", "namespace", "web_search", 3]), "name": SCALARS}
    )
    return st.fixed_dictionaries(
        {"model": st.sampled_from(["m", "m", "m", "", None, 3])},
        optional={
            "input": st.lists(item | SCALARS, max_size=3) | st.just("hi") | SCALARS,
            "tools": st.lists(tool | SCALARS, max_size=2) | SCALARS,
            "tool_choice": SCALARS | st.just("auto") | st.just({"type": "function", "name": "f"}),
            "text": SCALARS | st.just({"format": {"type": "json_schema", "name": "n", "schema": {}}}),
            "reasoning": SCALARS | st.just({"effort": "low"}),
            "include": SCALARS | st.just(["message.output_text.logprobs"]),
            "stream": SCALARS,
            "stream_options": SCALARS,
            "metadata": SCALARS,
            "instructions": SCALARS | st.lists(item, max_size=2),
            "context_management": SCALARS | st.just([{"type": "compaction", "compact_threshold": 5}]),
            "conversation": SCALARS,
            "previous_response_id": SCALARS,
            "presence_penalty": SCALARS,
            "max_output_tokens": SCALARS,
        },
    )
