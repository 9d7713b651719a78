"""Laws of the Chat request rooms, for any input."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.conform.strict_chat import problems
from adapter.dialects.chat.read_request import _FIELDS, read_request
from adapter.dialects.chat.write_request import write_request
from adapter.errors import AdapterError
from adapter.hub.request import Request
from adapter.upstream.profiles import GENERIC, Profile, profile, profile_names
from adapter.wire.jsonio import dumps

FAST = settings(max_examples=150, deadline=None)

profiles = st.sampled_from(profile_names()).map(profile)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(0, 1) | st.sampled_from(["", "a", "function", "auto"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "name", "a"]), inner, max_size=2)
    ),
    max_leaves=4,
)

# ------------------------------------------------------------------------------------------- arbitrary Responses items

ids = st.sampled_from(["a", "b", "a_2", "", "call_" + "x" * 80, "ü"])
names = st.sampled_from(["f", "g", "n__f", "größe", "x" * 90])
texts = st.sampled_from(["", "hi", "x" * 20, "\ud83d"])

parts = st.one_of(
    st.builds(lambda t: {"type": "input_text", "text": t}, texts),
    st.builds(lambda t: {"type": "output_text", "text": t, "annotations": []}, texts),
    st.builds(lambda t: {"type": "refusal", "refusal": t}, texts),
    st.builds(
        lambda d: {"type": "input_image", "image_url": "data:,", "detail": d}, st.sampled_from(["auto", "original"])
    ),
    st.just({"type": "input_file", "file_data": "data:,", "filename": "f"}),
)
contents = texts | st.lists(parts, max_size=3)

messages = st.builds(
    lambda role, content: {"type": "message", "role": role, "content": content},
    st.sampled_from(["user", "assistant", "system", "developer"]),
    contents,
)
calls = st.one_of(
    st.builds(
        lambda i, n, a, s: {"type": "function_call", "call_id": i, "name": n, "arguments": a, "namespace": s},
        ids,
        names,
        st.sampled_from(["", "{}", '{"a":1}']),
        st.sampled_from([None, "n", "functions"]),
    ),
    st.builds(lambda i, n, t: {"type": "custom_tool_call", "call_id": i, "name": n, "input": t}, ids, names, texts),
    st.builds(lambda i: {"type": "shell_call", "call_id": i, "action": {"commands": ["ls"]}}, ids),
    st.builds(lambda i: {"type": "local_shell_call", "call_id": i, "action": {"command": ["ls"]}}, ids),
    st.builds(lambda i: {"type": "apply_patch_call", "call_id": i, "operation": {"type": "delete_file"}}, ids),
    st.builds(lambda i: {"type": "tool_search_call", "call_id": i, "execution": "client", "arguments": {}}, ids),
)
outputs = st.builds(
    lambda kind, i, content: {"type": kind, "call_id": i, "output": content},
    st.sampled_from(["function_call_output", "custom_tool_call_output", "local_shell_call_output"]),
    ids,
    contents,
)
others = st.sampled_from(
    [
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "web_search_call"},
        {"type": "additional_tools", "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "f"}]},
        {"type": "acme:thing"},
    ]
)
conversations = st.lists(st.one_of(messages, calls, outputs, others), min_size=1, max_size=9)


@st.composite
def answered(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A conversation in which every call gets an output somewhere behind it; everything else stands anywhere."""
    items: list[dict[str, Any]] = []
    waiting: list[str] = []
    for _ in range(draw(st.integers(1, 10))):
        if waiting and draw(st.booleans()):
            call_id = waiting.pop(draw(st.integers(0, len(waiting) - 1)))
            items.append({"type": "function_call_output", "call_id": call_id, "output": draw(contents)})
        else:
            items.append(draw(st.one_of(messages, calls, others)))
            if items[-1].get("call_id") is not None:
                waiting.append(items[-1]["call_id"])
    items += [{"type": "function_call_output", "call_id": call_id, "output": draw(contents)} for call_id in waiting]
    return items


TOOLS: list[dict[str, Any]] = [
    {"type": "function", "name": "f", "strict": None},
    {"type": "custom", "name": "g"},
    {
        "type": "namespace",
        "name": "n",
        "tools": [{"type": "function", "name": "f"}, {"type": "function", "name": "x" * 90}],
    },
    {"type": "function", "name": "n__f"},
    {"type": "shell"},
    {"type": "web_search"},
    {"type": "tool_search", "execution": "client"},
]
tool_lists = st.lists(st.sampled_from(TOOLS), max_size=5)


@FAST
@given(conversations | answered(), tool_lists, profiles)
def test_whatever_the_items_the_body_is_one_that_strict_servers_take(
    items: list[dict[str, Any]], tools: list[dict[str, Any]], to: Profile
) -> None:
    """Errors are ours, equal requests give equal bytes, and calls and outputs pair."""
    try:
        made = write_request(Request({"model": "m", "input": items, "tools": tools}), to)
    except AdapterError:
        return
    assert problems(made.body, to) == []
    assert dumps(made.body) == dumps(write_request(Request({"model": "m", "input": items, "tools": tools}), to).body)


@FAST
@given(answered(), profiles)
def test_a_conversation_in_which_every_call_is_answered_is_never_refused(
    items: list[dict[str, Any]], to: Profile
) -> None:
    body = {"model": "m", "input": [{"type": "message", "role": "user", "content": "x"}, *items]}
    assert problems(write_request(Request(body), to).body, to) == []


ITEM_TYPES = [
    "message function_call function_call_output custom_tool_call custom_tool_call_output reasoning compaction",
    "item_reference additional_tools tool_search_call tool_search_output local_shell_call local_shell_call_output",
    "shell_call shell_call_output apply_patch_call apply_patch_call_output web_search_call mcp_approval_response x",
]
ITEM_KEYS = (
    "role content call_id name arguments input output tools summary action operation status execution id namespace"
)
broken_items = st.builds(
    lambda kind, rest: {**rest, "type": kind},
    st.sampled_from(" ".join(ITEM_TYPES).split()) | json_values,
    st.dictionaries(
        st.sampled_from(ITEM_KEYS.split()), json_values | contents | st.lists(st.sampled_from(TOOLS)), max_size=6
    ),
)
BODY_KEYS = (
    "instructions tools tool_choice parallel_tool_calls text reasoning include top_logprobs metadata service_tier "
    "max_output_tokens truncation temperature background prompt acme stop"
)


@FAST
@given(
    st.lists(broken_items | messages, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(BODY_KEYS.split()), json_values, max_size=4),
    profiles,
)
def test_broken_items_and_settings_raise_only_our_errors(
    items: list[dict[str, Any]], body: dict[str, Any], to: Profile
) -> None:
    with contextlib.suppress(AdapterError):
        write_request(Request({**body, "model": "m", "input": items}), to)


CHAT_KEYS = "role content name tool_calls tool_call_id function_call refusal audio reasoning_content id type function"
chat_messages = st.dictionaries(st.sampled_from(CHAT_KEYS.split()), json_values | texts, max_size=5).flatmap(
    lambda message: st.sampled_from(["user", "assistant", "tool", "system", "function", "x"]).map(
        lambda role: {**message, "role": role}
    )
)


@FAST
@given(
    st.lists(chat_messages | json_values, max_size=3),
    st.dictionaries(st.sampled_from([*_FIELDS, "acme", "input"]), json_values, max_size=5),
)
def test_broken_chat_bodies_raise_only_our_errors(messages: list[Any], body: dict[str, Any]) -> None:
    with contextlib.suppress(AdapterError):
        write_request(read_request({"model": "m", "messages": messages, **body}), GENERIC)


# ------------------------------------------------------------------------------------------------------- there and back

ROOMY = replace(profile("openai"), reasoning_replay="all", files=True)
"""A server that takes everything that Chat can say: between it and the hub nothing may be lost."""

plain = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=8)


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What an assistant says and what its tools answer, as the reader of Chat messages leaves it in the hub.

    Where it only speaks, somebody else speaks next: a call joins the assistant message before it.
    """
    items: list[dict[str, Any]] = []
    if draw(st.booleans()):
        items.append({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": draw(plain)}]})
    ids = draw(st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True))
    if not ids or draw(st.booleans()):
        items.append({"type": "message", "role": "assistant", "content": draw(plain)})
    kinds = draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    for call_id, custom in zip(ids, kinds, strict=True):
        items.append(
            {"type": "custom_tool_call", "call_id": call_id, "name": "g", "input": draw(plain)}
            if custom
            else {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}
        )
    for call_id, custom in zip(ids, kinds, strict=True):
        kind = "custom_tool_call_output" if custom else "function_call_output"
        items.append({"type": kind, "call_id": call_id, "output": draw(plain)})
    return items if ids else [*items, {"type": "message", "role": "user", "content": draw(plain)}]


user_parts = st.lists(
    st.one_of(
        st.builds(lambda t: {"type": "input_text", "text": t}, plain),
        st.builds(
            lambda d: {"type": "input_image", "image_url": "https://x/y.png", "detail": d},
            st.sampled_from(["auto", "low", "high"]),
        ),
        st.just({"type": "input_file", "file_id": "file-1"}),
    ),
    min_size=2,
    max_size=3,
)
others_say = st.builds(
    lambda role, content: [{"type": "message", "role": role, "content": content}],
    st.sampled_from(["system", "developer"]),
    plain,
) | st.builds(lambda content: [{"type": "message", "role": "user", "content": content}], plain | user_parts)

hub_bodies = st.builds(
    lambda conversation, settings: {
        "model": "m",
        "input": [item for turn in conversation for item in turn],
        "store": False,
        **settings,
    },
    st.lists(turns() | others_say, min_size=1, max_size=5),
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 2),
            "max_output_tokens": st.integers(1, 99),
            "text": st.sampled_from(
                [
                    {"verbosity": "low"},
                    {"format": {"type": "json_object"}},
                    {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
                ]
            ),
            "reasoning": st.just({"effort": "high"}),
            "include": st.just(["message.output_text.logprobs"]),
            "user": plain,
            "service_tier": st.just("flex"),
            "tools": st.just(
                [
                    {
                        "type": "function",
                        "name": "f",
                        "parameters": {"type": "object", "properties": {}},
                        "strict": False,
                    },
                    {"type": "custom", "name": "g", "format": {"type": "text"}},
                ]
            ),
        },
    ),
)


@FAST
@given(hub_bodies)
def test_what_is_written_reads_back_as_what_it_was(body: dict[str, Any]) -> None:
    made = write_request(Request(body), ROOMY)
    back = read_request(made.body)

    assert (made.losses, back.losses) == ([], [])
    assert back.body == body


@FAST
@given(hub_bodies)
def test_a_chat_body_goes_through_the_hub_unchanged(body: dict[str, Any]) -> None:
    chat = write_request(Request(body), ROOMY).body

    assert write_request(read_request(chat), ROOMY).body == chat
