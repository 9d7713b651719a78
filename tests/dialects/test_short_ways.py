"""Fast paths give what the slow paths give, for all inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.dialects import raw
from adapter.dialects.chat.request import read_content, read_messages, read_tools
from adapter.dialects.chat.request.history import History
from adapter.dialects.chat.write_request import write_request
from adapter.dialects.functions import toolbox
from adapter.dialects.registry import DIALECTS
from adapter.dialects.responses import input_items, output_items
from adapter.dialects.responses import tools as responses_tools
from adapter.dialects.writing import Writing
from adapter.errors import AdapterError
from adapter.hub.request import DialectName, Request, derived_token
from adapter.upstream.profiles import Profile, profile, profile_names

FAST = settings(max_examples=150, deadline=None)

values: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, "", "f", "g", "a b", "größe", "x" * 70, [], {}, {"type": "object"}, {"type": "string"}]
)
fields: st.SearchStrategy[Any] = st.sampled_from([None, "object", "string", [], {}, {"a": {"type": "string"}}, ["a"]])
schemas = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("type", "properties", "required", "$ref", "additionalProperties"), fields)
    | dict.fromkeys(("anyOf", "oneOf", "allOf"), st.just([{"type": "object", "properties": {"b": {}}}]) | fields),
)
tools = st.fixed_dictionaries(
    {"type": st.just("function")},
    optional=dict.fromkeys(("name", "parameters", "description", "strict", "output_schema", "defer_loading"), values),
)
sound_tools = st.builds(
    lambda name, parameters, strict, more: {
        "type": "function",
        "name": name,
        "parameters": parameters,
        "strict": strict,
        **more,
    },
    st.sampled_from(["f", "g", "f_2", "a b", "x" * 70]),
    st.just({"type": "object", "properties": {}}) | schemas,
    st.sampled_from([None, True, False]),
    st.sampled_from([{}, {"description": "d"}, {"description": None}, {"allowed_callers": ["direct"]}]),
)


def _outcome(work: Any) -> Any:
    """What it gives, or how it refuses."""
    try:
        return work()
    except AdapterError as refused:
        return type(refused), refused.message, refused.param


def _gathered(offered: list[Any], to: Profile) -> Any:
    writing = Writing(Request({"model": "m", "input": [], "tools": offered}), to)
    box = toolbox.gather_tools(writing)
    found = [box.find("function", name, space) for name in ("f", "g", "f_2", "a b") for space in (None, "functions")]
    return box.offered, box.refs, box.dropped, found, writing.losses


def _one_by_one(box: toolbox.Toolbox, offered: list[Any], path: str) -> None:
    for i, tool in enumerate(offered):
        box.add(tool, f"{path}[{i}]")


@FAST
@given(st.lists(tools | sound_tools | values, max_size=5), st.sampled_from(profile_names()).map(profile))
def test_plain_functions_are_offered_as_any_tool_is(offered: list[Any], to: Profile) -> None:
    short = _outcome(lambda: _gathered(offered, to))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toolbox.Toolbox, "add_all", _one_by_one)
        assert short == _outcome(lambda: _gathered(offered, to))


@FAST
@given(st.lists(tools | sound_tools | values, max_size=3))
def test_plain_functions_are_checked_as_any_tool_is(offered: list[Any]) -> None:
    def closely() -> None:
        for i, tool in enumerate(offered):
            responses_tools.check_tool(tool, f"tools[{i}]")

    assert _outcome(lambda: responses_tools.check_tools(offered, "tools")) == _outcome(closely)


parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "output_text", "text", "refusal", "input_image"]) | values},
    optional=dict.fromkeys(("text", "refusal", "image_url", "prompt_cache_breakpoint"), values),
)
contents = values | st.lists(parts | values, max_size=3)
items = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "function_call", "function_call_output", "custom_tool_call", "x"]) | values},
    optional={
        "role": st.sampled_from(["user", "assistant", "system"]) | values,
        "content": contents,
        "call_id": st.sampled_from(["a", "b", "x" * 70]) | values,
        "name": st.sampled_from(["f", "g"]) | values,
        "arguments": values,
        "output": contents,
        "input": values,
        "namespace": values,
    },
)


@FAST
@given(st.lists(items | values, max_size=4))
def test_plain_items_are_checked_as_any_item_is(given_items: list[Any]) -> None:
    def closely() -> list[Any]:
        return [input_items.checked_item(given_items, i, "input") for i in range(len(given_items))]

    assert _outcome(lambda: input_items.checked_items(given_items, "input")) == _outcome(closely)


texts = st.sampled_from(["", "hi"])
given_back = st.lists(
    st.sampled_from(["id", "status", "phase", "created_by", "annotations", "logprobs", "parsed", "name", "namespace"])
    | st.sampled_from(["prompt_cache_breakpoint", "extra_content", "vendor_key"]),
    max_size=3,
).flatmap(
    lambda keys: st.fixed_dictionaries(dict.fromkeys(keys, st.sampled_from([None, "x", [], {"google": {"s": "x"}}])))
)
"""Keys beside those that an item or a part must have: of those that have none, and of those that come back with all."""
said = texts | st.lists(
    st.builds(
        lambda kind, text, more: {"type": kind, "text": text, **more},
        st.sampled_from(["input_text", "output_text"]),
        texts,
        given_back,
    )
    | st.sampled_from(
        [
            {"type": "refusal", "refusal": "no"},
            {"type": "input_image", "image_url": "https://a"},
            {"type": "input_text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
        ]
    ),
    max_size=2,
)
ids = st.sampled_from(["a", "b", "a_2", "", "x" * 70])
paired = st.lists(
    st.one_of(
        st.builds(
            lambda role, content, more: [{"type": "message", "role": role, "content": content, **more}],
            st.sampled_from(["user", "assistant", "assistant", "developer"]),
            said,
            given_back,
        ),
        st.builds(
            lambda call_id, name, arguments, more: [
                {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **more}
            ],
            ids,
            st.sampled_from(["f", "g", "unknown"]),
            texts,
            given_back,
        ),
        st.builds(
            lambda call_id, output, more: [
                {"type": "function_call_output", "call_id": call_id, "output": output, **more}
            ],
            ids,
            said,
            given_back,
        ),
        st.builds(lambda call_id: [{"type": "custom_tool_call", "call_id": call_id, "name": "g", "input": "x"}], ids),
        st.just([{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "why"}]}]),
    ),
    max_size=8,
).map(lambda groups: [item for group in groups for item in group])


def _answered(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The history, and an output for every call: most of them pair, so that most are written."""
    calls = [item for item in history if item["type"] in ("function_call", "custom_tool_call")]
    return history + [{"type": f"{call['type']}_output", "call_id": call["call_id"], "output": "o"} for call in calls]


def _taken_one_by_one(history: History, forms: list[Any]) -> None:
    assert len(forms) == len(history._items)
    for i, item in enumerate(history._items):
        history._take(i, item)


@settings(max_examples=400, deadline=None)
@given(paired.map(_answered) | paired | st.lists(items, max_size=4), st.sampled_from(profile_names()).map(profile))
def test_plain_items_are_written_as_any_item_is(given_items: list[Any], to: Profile) -> None:
    def written() -> Any:
        tools = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("f", "g")]
        made = write_request(Request({"model": "m", "input": given_items, "tools": tools}), to)
        return made.body, made.losses

    short = _outcome(written)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(History, "_take_all", _taken_one_by_one)
        assert short == _outcome(written)


@FAST
@given(
    st.lists(
        st.fixed_dictionaries({"type": st.just("function"), "function": tools | sound_tools | values}) | values,
        max_size=3,
    )
)
def test_plain_functions_are_read_as_any_tool_is(offered: list[Any]) -> None:
    def closely() -> list[Any]:
        read = [read_tools.read_tool(tool, f"tools[{i}]", []) for i, tool in enumerate(offered)]
        return [tool for tool in read if tool is not None]

    assert repr(_outcome(lambda: read_tools.read_tools(offered, []))) == repr(_outcome(closely))


chat_calls = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b"]) | values, "type": st.sampled_from(["function", "custom"]) | values},
    optional={
        "function": st.fixed_dictionaries({"name": st.sampled_from(["f", "g"]) | values, "arguments": values}) | values,
        "custom": st.just({"name": "f", "input": "x"}),
    },
)
likely_chat_calls = st.sampled_from(
    [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"id": "b", "type": "custom", "custom": {"name": "g", "input": "x"}},
        {"id": "b", "type": "function", "function": {"name": "", "arguments": ""}},
    ]
)
chat_messages = st.one_of(
    st.builds(
        lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "system", "developer"]), texts
    ),
    st.builds(
        lambda content, calls: {"role": "assistant", "content": content, "tool_calls": calls},
        st.none() | texts | contents,
        st.lists(likely_chat_calls, max_size=2),
    ),
    st.builds(
        lambda call_id, content: {"role": "tool", "tool_call_id": call_id, "content": content},
        st.sampled_from(["a", "b"]),
        texts,
    ),
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool", "system", "function"]) | values},
        optional={
            "content": contents,
            "tool_calls": st.lists(chat_calls | values, max_size=2) | values,
            "tool_call_id": values,
            "name": values,
            "refusal": values,
            "function_call": values,
        },
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(chat_messages | values, min_size=1, max_size=5))
def test_plain_messages_are_read_as_any_message_is(given_messages: list[Any]) -> None:
    def at_sight() -> Any:
        losses: list[Any] = []
        return read_messages.read_messages(given_messages, losses)[0], losses

    def one_by_one() -> Any:
        losses: list[Any] = []
        closely = read_messages.CloselyRead([], losses)
        for i, message in enumerate(given_messages):
            closely.read(i, message)
        return closely.items, losses

    assert _outcome(at_sight) == _outcome(one_by_one)


chat_parts = st.one_of(
    st.builds(lambda text, more: {"type": "text", "text": text, **more}, texts, st.sampled_from([{}, {}, {"x": 1}])),
    st.fixed_dictionaries({"type": st.sampled_from(["text", "refusal"]) | values}, optional={"text": values}),
    values,
)


@FAST
@given(st.lists(chat_parts, max_size=3) | values, st.sampled_from([read_content.read_text, read_content.read_user]))
def test_plain_texts_are_read_as_any_part_is(content: Any, read: Any) -> None:
    def said() -> Any:
        losses: list[Any] = []
        return read(content, "messages[0].content", losses), losses

    short = _outcome(said)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_content, "_plain_texts", lambda _content: None)
        assert short == _outcome(said)


def _written(read: Request, upstream: DialectName, to: Profile) -> Any:
    made = DIALECTS[upstream].write_request(read, to)
    return made.body, made.losses


bodies = st.one_of(
    st.builds(
        lambda messages: ("chat", {"model": "m", "messages": messages}), st.lists(chat_messages, min_size=1, max_size=5)
    ),
    st.builds(
        lambda found, more: ("responses", {"model": "m", "input": found + more}),
        paired.map(_answered) | st.lists(items, max_size=4),
        st.lists(
            st.sampled_from(
                [
                    {"type": "item_reference", "id": "msg_1"},
                    {"type": "reasoning", "summary": [], "encrypted_content": ""},
                    {"type": "additional_tools", "tools": [{"type": "function", "name": "h", "parameters": {}}]},
                ]
            ),
            max_size=2,
        ),
    ),
)


@settings(max_examples=400, deadline=None)
@given(bodies, st.sampled_from(get_args(DialectName)), st.sampled_from(profile_names()).map(profile))
def test_what_a_reader_saw_in_passing_changes_nothing(
    asked: tuple[DialectName, dict[str, Any]], upstream: DialectName, to: Profile
) -> None:
    client, body = asked
    try:
        read = DIALECTS[client].read_request(body)
    except AdapterError:
        return
    assert read.seen is not None
    assert read.others is read.seen[1]
    unseen = replace(read, seen=None)
    assert list(unseen.others) == list(range(len(read.items)))
    assert read.forms == unseen.forms
    assert _outcome(lambda: _written(read, upstream, to)) == _outcome(lambda: _written(unseen, upstream, to))


@FAST
@given(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["output_text", "summary_text", "refusal", "text"]),
            "text": st.sampled_from(["", "a", "\ud83d", None]),
        },
        optional={
            key: st.sampled_from([[], None, 0, [{}], [{"type": "x"}]]) for key in ("annotations", "logprobs", "more")
        },
    ),
    st.sampled_from(["output_text", "summary_text"]),
)
def test_usual_parts_get_the_normal_form_that_any_part_gets(part: dict[str, Any], plain: str) -> None:
    assert repr(output_items.normal_part(part, plain)) == repr(output_items.any_part(part, plain))


@FAST
@given(
    st.lists(
        st.sampled_from([b"data: a", b"data: b\ndata: c", b"event: x", b": c", b"id: 1", b"", b"data"]), max_size=9
    )
)
def test_events_of_plain_lines_are_those_of_lines_that_end_in_any_way(lines: list[bytes]) -> None:
    whole = b"".join(line + b"\n" for line in lines) + b"\n\n"
    others = [b"\r", b"\r\n"]
    assert len({repr(list(raw._events(whole.replace(b"\n", end)))) for end in [b"\n", *others]}) == 1


@FAST
@given(st.text(st.sampled_from("aB3-_ é~"), max_size=60))
def test_tokens_keep_what_ids_may_hold(source: str) -> None:
    assert derived_token(source) == "".join(c for c in source if c in "aB3-_")[:48] or derived_token(source) == "0"
