"""Fast paths give what the slow paths give, for all inputs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.dialects import raw
from adapter.dialects.chat import read_tools
from adapter.dialects.chat import tools as chat_tools
from adapter.dialects.chat.writing import Writing
from adapter.dialects.responses import input_items, output_items
from adapter.dialects.responses import tools as responses_tools
from adapter.errors import AdapterError
from adapter.hub.request import Request, derived_token
from adapter.upstream.profiles import Profile, profile, profile_names

FAST = settings(max_examples=150, deadline=None)

values: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, "", "f", "g", "a b", "größe", "x" * 70, [], {}, {"type": "object"}, {"type": "string"}]
)
tools = st.fixed_dictionaries(
    {"type": st.just("function")},
    optional=dict.fromkeys(("name", "parameters", "description", "strict", "output_schema", "defer_loading"), values),
)
sound_tools = st.builds(
    lambda name, strict, more: {
        "type": "function",
        "name": name,
        "parameters": {"type": "object"},
        "strict": strict,
        **more,
    },
    st.sampled_from(["f", "g", "f_2", "a b", "x" * 70]),
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
    box = chat_tools.gather_tools(writing)
    found = [box.find("function", name, space) for name in ("f", "g", "f_2", "a b") for space in (None, "functions")]
    return box.offered, box.refs, box.dropped, found, writing.losses


@FAST
@given(st.lists(tools | sound_tools | values, max_size=5), st.sampled_from(profile_names()).map(profile))
def test_plain_functions_are_offered_as_any_tool_is(offered: list[Any], to: Profile) -> None:
    short = _outcome(lambda: _gathered(offered, to))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_tools.Toolbox, "add_plain", lambda *_: False)
        assert short == _outcome(lambda: _gathered(offered, to))


@FAST
@given(st.lists(tools | sound_tools, max_size=3))
def test_plain_functions_are_checked_as_any_tool_is(offered: list[Any]) -> None:
    short = _outcome(lambda: responses_tools.check_tools(offered, "tools"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(responses_tools, "_is_plain_function", lambda _: False)
        assert short == _outcome(lambda: responses_tools.check_tools(offered, "tools"))


@FAST
@given(st.dictionaries(st.sampled_from(["call_id", "name", "arguments"]), values))
def test_function_calls_are_checked_as_any_call_is(fields: dict[str, Any]) -> None:
    item = {"type": "function_call", **fields}
    short = _outcome(lambda: input_items.checked_items([item], "input"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(input_items._CHECKS, "function_call", input_items._needs_of_function_call)
        assert short == _outcome(lambda: input_items.checked_items([item], "input"))


@FAST
@given(
    st.lists(st.fixed_dictionaries({"type": st.just("function"), "function": tools | sound_tools | values}), max_size=3)
)
def test_plain_functions_are_read_as_any_tool_is(offered: list[Any]) -> None:
    short = _outcome(lambda: read_tools.read_tools(offered))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_tools, "_plain_function", lambda _: None)
        assert repr(short) == repr(_outcome(lambda: read_tools.read_tools(offered)))


@FAST
@given(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["output_text", "refusal", "text"]),
            "text": st.sampled_from(["", "a", "\ud83d", None]),
        },
        optional={
            key: st.sampled_from([[], None, [{}], [{"type": "x"}]]) for key in ("annotations", "logprobs", "more")
        },
    ),
    st.sampled_from(["output_text", "summary_text"]),
)
def test_usual_parts_get_the_normal_form_that_any_part_gets(part: dict[str, Any], plain: str) -> None:
    short = output_items.normal_part(part, plain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output_items, "_USUAL", None)
        assert repr(short) == repr(output_items.normal_part(part, plain))


@FAST
@given(st.text(st.sampled_from("ab\n\r"), max_size=20).map(str.encode))
def test_blocks_are_those_between_blank_lines(data: bytes) -> None:
    blocks = raw._blocks(data)
    ends = [block[: -len(end.group())] for block in blocks if (end := raw._BLOCK_END.search(block))]
    assert b"".join(blocks) == data
    assert ends == raw._BLOCK_END.split(data)[: len(ends)]
    assert all(raw._BLOCK_END.search(block) for block in blocks[:-1])


@FAST
@given(st.text(st.sampled_from("aB3-_ é~"), max_size=60))
def test_tokens_keep_what_ids_may_hold(source: str) -> None:
    assert derived_token(source) == "".join(c for c in source if c in "aB3-_")[:48] or derived_token(source) == "0"
