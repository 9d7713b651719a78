"""Hypothesis strategies for everything that a translator can be given. The one module here that needs hypothesis."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from adapter.conform.speaking import Reason, Spoken, usage

IMAGE: Final = "data:image/png;base64,iVBORw0KGgo="
PARAMETERS: Final = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}

texts: SearchStrategy[str] = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
"""Any text that UTF-8 can hold."""
said: SearchStrategy[str] = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names: SearchStrategy[str] = st.sampled_from(["f", "get_weather", "run-it", "n" * 64])
call_ids: SearchStrategy[str] = st.integers(0, 9).map(lambda n: f"call_{n}")
arguments: SearchStrategy[str] = st.sampled_from(
    ["{}", '{"a":"b"}', '{"a": "\\u00e9\\n"}', '{"deep":[[1,{"x":null}]]}']
)

citations: SearchStrategy[dict[str, Any]] = st.builds(
    lambda start, length, title: {
        "type": "url_citation",
        "start_index": start,
        "end_index": start + length,
        "url": "https://x/y",
        "title": title,
    },
    st.integers(0, 9),
    st.integers(0, 9),
    texts,
)

json_values: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
"""Any JSON."""


def wrong(keys: list[str]) -> SearchStrategy[dict[str, Any]]:
    """An object with some of these keys and any JSON behind each: the right words, the wrong types."""
    words = st.sampled_from(["message", "function", "function_call", "text", "user", "auto", "custom", "input_text"])
    return st.dictionaries(st.sampled_from(keys), words | json_values, max_size=6)


REQUEST_KEYS: Final = [
    *("model", "messages", "input", "tools", "tool_choice", "stream", "stream_options", "temperature", "top_p"),
    *("stop", "n", "max_tokens", "max_completion_tokens", "max_output_tokens", "response_format", "text"),
    *("reasoning", "reasoning_effort", "functions", "function_call", "logprobs", "top_logprobs", "logit_bias"),
    *("include", "instructions", "metadata", "store", "previous_response_id", "conversation", "web_search_options"),
    *("modalities", "audio", "seed", "user", "prompt"),
]
REPLY_KEYS: Final = ["id", "object", "created", "model", "choices", "usage", "output", "status", "error", "created_at"]


# ----------------------------------------------------------------------------------------------------------- requests


def chat_tools() -> SearchStrategy[dict[str, Any]]:
    """A function tool in Chat shape."""
    return names.map(lambda name: {"type": "function", "function": {"name": name, "parameters": PARAMETERS}})


@st.composite
def chat_turns(draw: DrawFn) -> list[dict[str, Any]]:
    """One user turn: a question, perhaps tool rounds, an answer."""
    image = {"type": "image_url", "image_url": {"url": IMAGE}}
    question = draw(said | said.map(lambda text: [{"type": "text", "text": text}, image]))
    turn: list[dict[str, Any]] = [{"role": "user", "content": question}]
    for _ in range(draw(st.integers(0, 2))):
        ids = draw(st.lists(call_ids, min_size=1, max_size=3, unique=True))
        calls = [
            {"id": i, "type": "function", "function": {"name": draw(names), "arguments": draw(arguments)}} for i in ids
        ]
        turn.append({"role": "assistant", "content": draw(st.none() | said), "tool_calls": calls})
        turn += [{"role": "tool", "tool_call_id": i, "content": draw(texts)} for i in ids]
    return [*turn, {"role": "assistant", "content": draw(said)}]


@st.composite
def chat_requests(draw: DrawFn) -> dict[str, Any]:
    """A good Chat request."""
    messages = [{"role": "system", "content": draw(said)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 2))):
        messages += draw(chat_turns())
    messages.append({"role": "user", "content": draw(said)})
    body: dict[str, Any] = {"model": "m", "messages": messages}
    tools = draw(st.lists(chat_tools(), max_size=3, unique_by=lambda tool: tool["function"]["name"]))
    if tools:
        body["tools"] = tools
        body["tool_choice"] = draw(st.sampled_from(["auto", "none", "required"]))
    optional = {
        "temperature": st.floats(0, 2),
        "max_completion_tokens": st.integers(16, 4096),
        "reasoning_effort": st.sampled_from(["low", "high"]),
        "response_format": st.just({"type": "json_object"}),
        "stream": st.booleans(),
        "user": said,
    }
    return body | draw(st.fixed_dictionaries({}, optional=optional))


def parts(kind: str) -> SearchStrategy[dict[str, Any]]:
    """A content part of a message of that role."""
    if kind == "assistant":
        return said.map(lambda text: {"type": "output_text", "text": text, "annotations": [], "logprobs": []})
    image = st.just({"type": "input_image", "image_url": IMAGE, "detail": "auto"})
    return said.map(lambda text: {"type": "input_text", "text": text}) | image


@st.composite
def messages(draw: DrawFn) -> dict[str, Any]:
    """A message item, its content text or parts."""
    role = draw(st.sampled_from(["user", "assistant", "system", "developer"]))
    content = draw(said | st.lists(parts("assistant" if role == "assistant" else "user"), min_size=1, max_size=3))
    if role in ("system", "developer") and isinstance(content, list):
        content = draw(said)
    whole = {"id": "msg_past", "status": "completed"} if role == "assistant" and isinstance(content, list) else {}
    return {"type": "message", "role": role, "content": content, **whole}


@st.composite
def histories(draw: DrawFn, *, orphans: bool = False) -> list[dict[str, Any]]:
    """Input items as clients keep them: calls apart from their outputs, reasoning, and, with `orphans`, halves of pairs."""
    items: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 6))):
        match draw(
            st.sampled_from(["message", "call", "custom", "output", "reasoning", *(["orphan"] if orphans else [])])
        ):
            case "message":
                items.append(draw(messages()))
            case "call" | "custom" as kind:
                call_id = f"call_{number}"
                key, type_ = ("input", "custom_tool_call") if kind == "custom" else ("arguments", "function_call")
                text = draw(said if kind == "custom" else arguments)
                items.append({"type": type_, "call_id": call_id, "name": draw(names), key: text})
                waiting.append({"type": f"{type_}_output", "call_id": call_id, "output": draw(texts)})
            case "output" if waiting:
                items.append(waiting.pop(draw(st.integers(0, len(waiting) - 1))))
            case "reasoning":
                items.append(
                    {"type": "reasoning", "id": f"rs_{number}", "summary": [], "content": [_reasoning(draw(said))]}
                )
            case "orphan":
                items.append({"type": "function_call_output", "call_id": f"lost_{number}", "output": "x"})
    items += waiting if not orphans or draw(st.booleans()) else []
    return [*items, {"type": "message", "role": "user", "content": draw(said)}]


def _reasoning(text: str) -> dict[str, Any]:
    return {"type": "reasoning_text", "text": text}


@st.composite
def responses_requests(draw: DrawFn, *, orphans: bool = False) -> dict[str, Any]:
    """A good Responses request; with `orphans` perhaps one that no Chat server would take."""
    body: dict[str, Any] = {"model": "m", "input": draw(said | histories(orphans=orphans))}
    tool = names.map(lambda name: {"type": "function", "name": name, "parameters": PARAMETERS, "strict": False})
    custom = names.map(lambda name: {"type": "custom", "name": name})
    tools = draw(st.lists(tool | custom, max_size=3, unique_by=lambda tool: tool["name"]))
    if tools:
        body["tools"] = tools
    optional = {
        "instructions": said,
        "temperature": st.floats(0, 2),
        "max_output_tokens": st.integers(16, 4096),
        "reasoning": st.just({"effort": "low"}),
        "text": st.just({"format": {"type": "json_object"}}),
        "stream": st.booleans(),
    }
    return body | draw(st.fixed_dictionaries({}, optional=optional))


# ------------------------------------------------------------------------------------------------------------ answers


@st.composite
def spoken(draw: DrawFn, *, chat: bool = False) -> Spoken:
    """An answer. With `chat`, one that a single Chat message says in the same order: reasoning, text, refusal, calls."""
    items: list[dict[str, Any]] = []
    kinds = ["reasoning", "message", "function_call"] + ([] if chat else ["custom_tool_call", "encrypted"])
    many = draw(st.sampled_from([3, 1, 2, 4]))
    drawn = draw(st.lists(st.sampled_from(kinds), min_size=many, max_size=many))
    if chat:
        order = ["reasoning", "message", "function_call"]
        drawn = sorted(drawn, key=order.index)
        drawn = [kind for at, kind in enumerate(drawn) if kind == "function_call" or kind not in drawn[:at]]
        drawn = drawn if drawn != ["reasoning"] else ["reasoning", "message"]
    for kind in drawn:
        items.append(draw(_item(kind, len(items), chat=chat)))
    cut = draw(st.booleans()) and items[-1]["type"] in ("message", "function_call", "custom_tool_call")
    if cut:
        items[-1]["status"] = "incomplete"
    reason: Reason | None = draw(st.sampled_from(["max_output_tokens", "content_filter"])) if cut else None
    return Spoken(
        items,
        status="incomplete" if cut else "completed",
        reason=reason,
        usage=usage(draw(st.integers(0, 99)), draw(st.integers(0, 99))),
        width=draw(st.sampled_from([3, 1, 2, 5])),
    )


@st.composite
def _item(draw: DrawFn, kind: str, index: int, *, chat: bool) -> dict[str, Any]:
    match kind:
        case "message":
            cited = [] if chat else draw(st.lists(citations, max_size=2))
            whole: list[dict[str, Any]] = [
                {"type": "output_text", "text": draw(said), "annotations": cited, "logprobs": []}
            ]
            if draw(st.booleans()):
                refusal: dict[str, Any] = {"type": "refusal", "refusal": draw(said)}
                whole = [*whole, refusal] if chat or draw(st.booleans()) else [refusal]
            return {
                "id": f"msg_{index}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": whole,
            }
        case "reasoning" if chat or draw(st.booleans()):
            return {"id": f"rs_{index}", "type": "reasoning", "summary": [], "content": [_reasoning(draw(said))]}
        case "reasoning":
            summary = draw(st.lists(said, min_size=2, max_size=3) | said.map(lambda text: [text]))
            return {
                "id": f"rs_{index}",
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": text} for text in summary],
            }
        case "encrypted":
            return {"id": f"rs_{index}", "type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
        case _:
            custom = kind == "custom_tool_call"
            return {
                "id": f"{'ctc' if custom else 'fc'}_{index}",
                "type": kind,
                "status": "completed",
                "call_id": f"call_{index}",
                "name": draw(names),
                "input" if custom else "arguments": draw(said if custom else arguments),
            }


# -------------------------------------------------------------------------------------------------------------- bytes


@st.composite
def splits(draw: DrawFn, raw: bytes) -> list[bytes]:
    """`raw`, cut into reads anywhere."""
    places = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    return [raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True)]


@st.composite
def damaged(draw: DrawFn, raw: bytes) -> bytes:
    """`raw` after something went wrong on the way: cut off, a piece lost, doubled, swapped or overwritten."""
    for _ in range(draw(st.integers(1, 3))):
        a, b = sorted((draw(st.integers(0, len(raw))), draw(st.integers(0, len(raw)))))
        events = raw.split(b"\n\n")
        at = draw(st.integers(0, len(events) - 1))
        match draw(
            st.sampled_from(["cut", "lose", "double", "overwrite", "drop event", "swap events", "repeat event"])
        ):
            case "cut":
                raw = raw[:a]
            case "lose":
                raw = raw[:a] + raw[b:]
            case "double":
                raw = raw[:b] + raw[a:]
            case "overwrite":
                raw = raw[:a] + draw(st.binary(min_size=1, max_size=4)) + raw[a:][4:]
            case "drop event":
                raw = b"\n\n".join(events[:at] + events[at + 1 :])
            case "swap events":
                raw = b"\n\n".join([*events[:at], *events[at + 1 : at + 2], events[at], *events[at + 2 :]])
            case _:
                raw = b"\n\n".join([*events[: at + 1], events[at], *events[at + 1 :]])
    return raw
