"""Fragments of tool calls into call items: what servers do to index, id, name and arguments (D26 to D33)."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.dialects import chat
from adapter.dialects.chat.answer.tool_calls import _Slot
from adapter.hub.events import NO_PART, Delta, DeltaKind, Event, Failed, ItemClosed, ItemOpened
from adapter.hub.fold import fold
from adapter.hub.grammar import check_hub
from tests.dialects.chat.making import HEAD, call, calling, chunk_bytes, exchange, kinds, read_all
from tests.dialects.chat.writing import user, written

END = chunk_bytes({}, "tool_calls")
PATCH = "*** Begin Patch\n*** Delete File: a\n*** End Patch"


def calls_of(events: list[Event]) -> list[tuple[str, str, str]]:
    """(call_id, name, arguments) of the answer's calls."""
    assert check_hub(events) == []
    calls = [item for item in fold(events).output if item["type"] == "function_call"]
    return [(item["call_id"], item["name"], item["arguments"]) for item in calls]


def deltas(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Delta)]


def test_the_official_form_streams_as_it_comes() -> None:
    events, _ = read_all(
        calling(call(0, "a", "f", "")), calling(call(0, arguments='{"x"')), calling(call(0, arguments=":1}")), END
    )
    item = {
        "id": "fc_1_0",
        "type": "function_call",
        "status": "in_progress",
        "call_id": "a",
        "name": "f",
        "arguments": "",
    }

    assert events[1:5] == [
        ItemOpened(0, item),
        Delta(0, NO_PART, DeltaKind.ARGUMENTS, '{"x"'),
        Delta(0, NO_PART, DeltaKind.ARGUMENTS, ":1}"),
        ItemClosed(0, item | {"status": "completed", "arguments": '{"x":1}'}),
    ]


def test_a_search_that_found_the_deferred_tool_is_told_before_its_first_call() -> None:
    events, _ = read_all(
        chunk_bytes({"content": "Hm."}),
        calling(call(0, "a", "f", "{}")),
        calling(call(1, "b", "later", "")),
        calling(call(1, arguments="{}")),
        calling(call(2, "c", "later", "{}")),
        END,
    )
    assert check_hub(events) == []
    output = fold(events).output
    assert [item["type"] for item in output] == [
        "message",
        "function_call",
        "tool_search_call",
        "tool_search_output",
        "function_call",
        "function_call",
    ]
    by_the_server = {"call_id": None, "execution": "server", "status": "completed"}
    assert output[2:4] == [
        {"id": "tsc_1_2", "type": "tool_search_call", "arguments": {"paths": ["later"]}} | by_the_server,
        {"id": "tso_1_3", "type": "tool_search_output", "tools": [{"type": "function", "name": "later"}]}
        | by_the_server,
    ]
    assert [item.get("namespace") for item in output[4:]] == ["later", "later"]


@pytest.mark.parametrize(
    "fragments",
    [
        pytest.param(
            [call(0, "a", "f", ""), call(0, "", "", '{"x":'), call(0, "", "", "1}")], id="id and name empty later"
        ),
        pytest.param([call(0, "a", "f", '{"x":'), call(0, "a", "f", "1}")], id="id and name repeated"),
        pytest.param([call(0, "a", "f", '{"x":'), call(0, "b", None, "1}")], id="id changed without a name"),
        pytest.param([call(None, "a", "f", '{"x":'), call(None, "a", None, "1}")], id="no index, id repeated"),
        pytest.param([call(None, "a", "f", '{"x":'), call(None, None, None, "1}")], id="no index, id once"),
        pytest.param([call(0, "a", "f", '{"x":'), call(None, None, None, "1}")], id="index once (Mistral)"),
        pytest.param(
            [call(0, "a", None, '{"x":'), call(0, None, "f", None), call(0, None, None, "1}")], id="name late"
        ),
        pytest.param([call(0, "a", None, '{"x":1}'), call(0, None, "f", None)], id="name after all arguments"),
        pytest.param([call(0, None, "f", None), call(0, "a", None, '{"x":1}')], id="id late"),
        pytest.param([call(None, None, "f", None), call(None, "a", None, '{"x":1}')], id="no index, id late"),
        pytest.param([call(0, "a", "f", None), call(7, "a", None, '{"x":1}')], id="index changed, id the same"),
        pytest.param([call(0, "a", "f", {"x": 1})], id="arguments an object"),
        pytest.param([call(0, "a", "f", '{"x":1}'), call(0, "a", "f", "")], id="name again behind the end"),
    ],
)
def test_one_call_however_it_is_told(fragments: list[dict[str, Any]]) -> None:
    events, _ = read_all(*(calling(fragment) for fragment in fragments), END)

    assert calls_of(events) == [("a", "f", '{"x":1}')]


@pytest.mark.parametrize(
    ("names", "name"),
    [(["get_", "weather"], "get_weather"), (["get_", "get_weather"], "get_weather"), (["f", "f", "f"], "f")],
)
def test_a_name_split_cumulative_or_repeated(names: list[str], name: str) -> None:
    events, _ = read_all(*(calling(call(0, "a", part)) for part in names), calling(call(0, arguments="{}")), END)

    assert calls_of(events) == [("a", name, "{}")]


@pytest.mark.parametrize(
    "fragments",
    [
        pytest.param([call(0, "a", "f", "{}"), call(0, "b", "g", "{}")], id="index 0 for all (vLLM, lmdeploy)"),
        pytest.param([call(None, "a", "f", "{}"), call(None, "b", "g", "{}")], id="no index"),
        pytest.param([call(1, "a", "f", "{}"), call(5, "b", "g", "{}")], id="indices with gaps"),
    ],
)
def test_two_calls_stay_two(fragments: list[dict[str, Any]]) -> None:
    one_by_one, _ = read_all(*(calling(fragment) for fragment in fragments), END)
    at_once, _ = read_all(calling(*fragments), END)

    assert calls_of(one_by_one) == calls_of(at_once) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_a_call_whose_name_is_late_is_not_over_where_the_next_one_begins() -> None:
    late = [call(0, "a", None, "{}"), call(1, "b", "g", "{}"), call(0, None, "f", None)]
    events, _ = read_all(*(calling(fragment) for fragment in late), END)

    assert calls_of(events) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_arguments_at_an_index_that_two_calls_have_are_those_of_the_latest() -> None:
    fragments = [call(0, "a", "f", '{"x"'), call(0, "b", "g", ""), call(0, None, None, "{}")]
    events, _ = read_all(*(calling(fragment) for fragment in fragments), END)

    assert calls_of(events) == [("a", "f", '{"x"'), ("b", "g", "{}")]


@pytest.mark.parametrize("nothing", [{"index": 0}, {"index": 0, "function": {}}, {"function": {"arguments": ""}}])
def test_a_fragment_that_says_nothing_begins_no_call(nothing: dict[str, Any]) -> None:
    events, _ = read_all(chunk_bytes({"content": "H"}), calling(nothing), chunk_bytes({"content": "i"}, "stop"))

    (message,) = fold(events).output
    assert message["content"][0]["text"] == "Hi"


def test_calls_without_index_and_id_go_by_position() -> None:
    events, _ = read_all(
        calling(call(name="f", arguments='{"a":'), call(name="f", arguments='{"b":')),
        calling(call(arguments="1}"), call(arguments="2}")),
        END,
    )

    assert [(name, arguments) for _, name, arguments in calls_of(events)] == [("f", '{"a":1}'), ("f", '{"b":2}')]


def test_calls_one_after_the_other_without_index_and_id() -> None:
    events, _ = read_all(
        calling(call(name="f", arguments='{"a":1}')),
        calling(call(name="f", arguments='{"b":')),
        calling(call(arguments="2}")),
        END,
    )

    assert calls_of(events) == [("call_1_0", "f", '{"a":1}'), ("call_1_1", "f", '{"b":2}')]


def test_calls_one_after_the_other_at_one_index_without_id() -> None:
    events, _ = read_all(
        calling(call(0, name="f", arguments='{"a":1}')),
        calling(call(0, name="f", arguments='{"b":')),
        calling(call(0, arguments="2}")),
        calling(call(0, name="f", arguments="\n")),
        END,
    )

    assert calls_of(events) == [("call_1_0", "f", '{"a":1}'), ("call_1_1", "f", '{"b":2}\n')]


@pytest.mark.parametrize("id", [None, ""])
def test_a_missing_id_is_made_once(id: str | None) -> None:
    events, _ = read_all(calling(call(0, id, "f", "{")), calling(call(0, id, None, "}")), END)

    assert calls_of(events) == [("call_1_0", "f", "{}")]


def test_an_id_used_twice_is_made_unique() -> None:
    events, reader = read_all(calling(call(0, "a", "f", "{}")), calling(call(1, "a", "g", "{}")), END)

    assert calls_of(events) == [("a", "f", "{}"), ("a_2", "g", "{}")]
    assert kinds(reader) == ["call_id_repeated"]


def test_ids_over_64_characters_are_hashed_and_stay_apart() -> None:
    events, _ = read_all(calling(call(0, "a" * 65, "f", "{}")), calling(call(1, "a" * 66, "g", "{}")), END)
    ids = [call_id for call_id, _, _ in calls_of(events)]

    assert len(set(ids)) == 2
    assert all(len(call_id) <= 64 for call_id in ids)


def test_sequential_parallel_calls_both_stream() -> None:
    """The second call does not wait for the end: complete arguments close the first."""
    events, _ = read_all(
        calling(call(0, "a", "f", "")),
        calling(call(0, arguments='{"x":1}')),
        calling(call(1, "b", "g", "")),
        calling(call(1, arguments='{"y"')),
    )
    streamed = events[: events.index(Delta(1, NO_PART, DeltaKind.ARGUMENTS, '{"y"')) + 1]

    assert [type(event) for event in streamed[1:]] == [ItemOpened, Delta, ItemClosed, ItemOpened, Delta]


def test_interleaved_calls_are_buffered_and_replayed() -> None:
    events, _ = read_all(
        calling(call(0, "a", "f", "")),
        calling(call(1, "b", "g", "")),
        calling(call(1, arguments='{"y":')),
        calling(call(0, arguments='{"x":')),
        calling(call(1, arguments="2}")),
        calling(call(0, arguments="1}")),
        END,
    )

    assert calls_of(events) == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]
    assert deltas(events) == ['{"x":', "1}", '{"y":', "2}"]


@pytest.mark.parametrize("key", ["content", "reasoning_content", "refusal"])
def test_text_amid_the_arguments_of_a_call_waits_for_the_rest_of_them(key: str) -> None:
    """Servers whose parser lets a line end of the model's slip through between two fragments."""
    events, reader = read_all(
        calling(call(0, "a", "f", '{"x":')),
        chunk_bytes({key: "\n"}),
        chunk_bytes({key: "!", "tool_calls": [call(0, arguments="1")]}),
        calling(call(0, arguments="}")),
        chunk_bytes({key: "?"}),
        END,
    )

    assert check_hub(events) == []
    assert calls_of(events) == [("a", "f", '{"x":1}')]
    (part,) = [part for item in fold(events).output[1:] for part in item["content"]]
    assert part.get("text", part.get("refusal")) == "\n!?"
    assert kinds(reader) == []


def test_text_between_a_call_and_its_arguments_waits_for_them() -> None:
    events, _ = read_all(
        calling(call(0, "a", "f", "")), chunk_bytes({"content": "so"}), calling(call(0, arguments='{"x":1}')), END
    )

    assert calls_of(events) == [("a", "f", '{"x":1}')]
    assert fold(events).output[1]["content"][0]["text"] == "so"


@pytest.mark.parametrize("begun", [call(0, "a", "f", ""), call(0, "a")])
def test_text_behind_a_call_that_said_nothing_is_kept_when_the_answer_is_cut(begun: dict[str, Any]) -> None:
    events, _ = read_all(calling(begun), chunk_bytes({"content": "so"}), chunk_bytes({}, "length"))

    assert check_hub(events) == []
    last = fold(events).output[-1]
    assert (last["status"], last["content"][0]["text"]) == ("incomplete", "so")


def test_text_amid_interleaved_calls_comes_behind_them() -> None:
    events, _ = read_all(
        calling(call(0, "a", "f", '{"x":')),
        calling(call(1, "b", "g", '{"y":')),
        chunk_bytes({"content": "so"}),
        calling(call(0, arguments="1}")),
        calling(call(1, arguments="2}")),
        END,
    )

    assert calls_of(events) == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]
    assert [item["type"] for item in fold(events).output] == ["function_call", "function_call", "message"]


@given(st.lists(st.lists(st.text("ab}{", max_size=3), max_size=3), min_size=1, max_size=3), st.data())
def test_text_anywhere_among_the_fragments_leaves_the_calls_whole(spoken: list[list[str]], data: st.DataObject) -> None:
    """Interleaved as may be: each call has all of its arguments, and no text is lost."""
    left: list[list[dict[str, Any]]] = []
    arguments = [orjson.dumps({"x": pieces}).decode() for pieces in spoken]
    for index, whole in enumerate(arguments):
        at = data.draw(st.integers(0, len(whole)))
        pieces = [call(index, arguments=piece) for piece in (whole[:at], whole[at:])]
        left.append([call(index, f"c{index}", "f", ""), *pieces])
    lines, said = [], 0
    while any(left):
        begun = [fragments for fragments in left if len(fragments) < 3]
        unbegun = [fragments for fragments in left if len(fragments) == 3][:1]
        fragment = data.draw(st.sampled_from([f for f in begun if f] + unbegun)).pop(0)
        text = data.draw(st.sampled_from(["", "t"]))
        said += len(text)
        lines.append(chunk_bytes({"content": text, "tool_calls": [fragment]}))
    events, _ = read_all(*lines, END)

    assert [text for _, _, text in sorted(calls_of(events))] == arguments
    texts = [item["content"][0]["text"] for item in fold(events).output if item["type"] == "message"]
    assert "".join(texts) == "t" * said


def test_text_behind_arguments_that_never_become_json_is_kept() -> None:
    events, _ = read_all(calling(call(0, "a", "f", "{x: ")), chunk_bytes({"content": "so"}), END)

    assert calls_of(events) == [("a", "f", "{x: ")]
    assert fold(events).output[1]["content"][0]["text"] == "so"


def test_a_call_cut_behind_text_amid_it_stays_the_last_item() -> None:
    """Only the last may be incomplete, and a half call that counts as complete would be run."""
    events, reader = read_all(
        calling(call(0, "a", "f", '{"x":')), chunk_bytes({"content": "\n"}), chunk_bytes({}, "length")
    )

    assert check_hub(events) == []
    assert [(item["status"], item["arguments"]) for item in fold(events).output] == [("incomplete", '{"x":')]
    assert kinds(reader) == ["text_amid_call"]


def test_arguments_for_a_closed_call_are_dropped_and_reported() -> None:
    events, reader = read_all(
        calling(call(0, "a", "f", "{}")),
        calling(call(1, "b", "g", "{")),
        calling(call(0, arguments=" \n")),
        calling(call(0, arguments="junk")),
        calling(call(1, arguments="}")),
        END,
    )

    assert calls_of(events) == [("a", "f", "{}"), ("b", "g", "{}")]
    assert kinds(reader) == ["late_arguments"]


@pytest.mark.parametrize("arguments", [None, "", " "])
def test_no_arguments_are_an_empty_object(arguments: str | None) -> None:
    events, _ = read_all(calling(call(0, "a", "f", arguments)), END)

    ((_, _, text),) = calls_of(events)
    assert text.strip() == "{}"


def test_arguments_that_are_not_json_pass_verbatim() -> None:
    events, _ = read_all(calling(call(0, "a", "f", "{x: ")), END)

    assert calls_of(events) == [("a", "f", "{x: ")]


def test_a_call_without_a_name_is_a_failure() -> None:
    events, _ = read_all(calling(call(0, "a", None, "{}")), END)

    assert check_hub(events) == []
    assert isinstance(events[-1], Failed)


def test_a_call_cut_before_its_name_is_dropped() -> None:
    events, reader = read_all(calling(call(0, "a")), chunk_bytes({}, "length"))

    assert check_hub(events) == []
    assert [item["type"] for item in fold(events).output] == ["message"]
    assert kinds(reader) == ["call_unnamed"]


def test_a_cut_call_is_incomplete_and_those_before_it_are_not() -> None:
    events, _ = read_all(calling(call(0, "a", "f", "{}")), calling(call(1, "b", "g", '{"x')), chunk_bytes({}, "length"))

    assert check_hub(events) == []
    assert [(item["status"], item["arguments"]) for item in fold(events).output] == [
        ("completed", "{}"),
        ("incomplete", '{"x'),
    ]


def test_a_failure_keeps_the_open_call_as_far_as_it_came() -> None:
    events, _ = read_all(calling(call(0, "a", "f", '{"x')), end=None)

    last = events[-1]
    assert isinstance(last, Failed)
    assert [item["arguments"] for item in last.items] == ['{"x']
    assert not any(isinstance(event, ItemClosed) for event in events)


@pytest.mark.parametrize(
    "fragments", [[{}], [None], ["x"], [{"index": 0, "type": "function", "function": {}}], {}, "x"]
)
def test_fragments_that_say_nothing_are_no_call(fragments: Any) -> None:
    events, _ = read_all(chunk_bytes({"tool_calls": fragments}), chunk_bytes({"content": "x"}, "stop"))

    assert [item["type"] for item in fold(events).output] == ["message"]


def test_tool_calls_with_finish_stop_are_calls_all_the_same() -> None:
    events, _ = read_all(calling(call(0, "a", "f", "{}")), chunk_bytes({}, "stop"))

    assert calls_of(events) == [("a", "f", "{}")]


def test_the_deprecated_function_call_is_one_call() -> None:
    events, _ = read_all(
        chunk_bytes({"function_call": {"name": "f", "arguments": ""}}),
        chunk_bytes({"function_call": {"arguments": '{"x":'}}),
        chunk_bytes({"function_call": {"arguments": "1}"}}, "function_call"),
    )

    assert calls_of(events) == [("call_1_0", "f", '{"x":1}')]


def test_a_namespace_is_restored() -> None:
    events, _ = read_all(calling(call(0, "a", "mcp__files__read", "{}")), END)

    (item,) = fold(events).output
    assert (item["namespace"], item["name"]) == ("mcp__files", "read")
    assert check_hub(events) == []


@pytest.mark.parametrize(("name", "said"), [("agents__send", []), ("mcp__files__read", None)])
def test_a_call_whose_arguments_were_to_be_encrypted_says_that_they_are_not(name: str, said: list[str] | None) -> None:
    """As it opens, too: Codex may act before it is closed."""
    events, _ = read_all(calling(call(0, "a", name, "{}")), END)

    items = [event.item for event in events if isinstance(event, (ItemOpened, ItemClosed))]
    assert [item.get("encrypted_function_args") for item in items] == [said, said]


ASYNC_TOOLS = [
    {"type": "function", "name": "f", "async": True},
    {"type": "function", "name": "g"},
    {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "h", "async": True}]},
    {"type": "custom", "name": "c", "async": True},
]


@pytest.mark.parametrize("whole", [False, True])
def test_a_call_of_a_tool_that_runs_beside_the_conversation_says_so(whole: bool) -> None:
    """Its client waits for no output of it, and the next request need not offer its tool again."""
    made = written(user(), tools=ASYNC_TOOLS)
    calls = [call(n, f"{n}", name, "{}") for n, name in enumerate(("f", "g", "n__h", "c"))][: 3 if whole else 4]
    if whole:
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        answer, _ = chat.read_answer({**HEAD, "choices": [choice]}, made.exchange)
        items = answer.output
    else:
        items = fold(read_all(calling(*calls), END, asked=made.exchange)[0]).output

    beside = {"f": True, "g": None, "h": True, "c": True}
    assert [(item["name"], item.get("async")) for item in items] == list(beside.items())[: len(calls)]


def test_a_custom_tool_sent_as_a_function_streams_its_input() -> None:
    events, _ = read_all(calling(call(0, "a", "patch", '{"input": "one\\n')), calling(call(0, arguments='two"}')), END)

    (item,) = fold(events).output
    assert item == {
        "id": "ctc_1_0",
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": "a",
        "name": "apply_patch",
        "input": "one\ntwo",
    }
    assert deltas(events) == ["one\n", "two"]
    assert check_hub(events) == []


@pytest.mark.parametrize(
    ("arguments", "pieces", "found"),
    [
        ({"input": PATCH}, ["*** Begin Patch\n", "*** Delete File: a\n", "*** End Patch"], []),
        ({"input": f"```\n{PATCH}\n```"}, [PATCH], ["patch_mended"]),
        ({"command": ["apply_patch", PATCH]}, [PATCH], ["patch_mended"]),
        ({"command": ["git", "apply", PATCH]}, None, []),
    ],
)
def test_what_is_around_a_patch_is_taken_off(
    arguments: dict[str, Any], pieces: list[str] | None, found: list[str]
) -> None:
    written = json.dumps(arguments)
    lines = [f"{line}\\n" for line in written.split("\\n")]
    lines[-1] = lines[-1].removesuffix("\\n")
    events, reader = read_all(
        calling(call(0, "a", "patch")), *(calling(call(0, arguments=line)) for line in lines), END
    )
    message = {"role": "assistant", "content": None, "tool_calls": [call(id="a", name="patch", arguments=written)]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    answer, anomalies = chat.read_answer({**HEAD, "choices": [choice]}, exchange())

    assert deltas(events) == (pieces or [written])
    assert [item["input"] for item in fold(events).output] == [item["input"] for item in answer.output]
    assert kinds(reader) == [anomaly.kind for anomaly in anomalies if anomaly.kind == "patch_mended"] == found
    assert check_hub(events) == []


@pytest.mark.parametrize("name", ["patch", "free"])
def test_a_native_custom_call_passes_its_input(name: str) -> None:
    """With an entry in the map of the request or without one."""

    def fragment(**custom: str) -> dict[str, Any]:
        return {"index": 0, "id": "a", "type": "custom", "custom": custom}

    events, _ = read_all(calling(fragment(name=name, input="")), calling(fragment(input='{"input": "raw"}')), END)

    (item,) = fold(events).output
    assert (item["type"], item["input"]) == ("custom_tool_call", '{"input": "raw"}')
    assert check_hub(events) == []


def test_half_an_emoji_in_arguments_is_joined_or_replaced() -> None:
    def fragment(escape: str) -> bytes:
        plain = calling(call(0, "a", "f", "HALF"))
        return plain.replace(b"HALF", escape.encode())

    events, _ = read_all(fragment(r"\ud83d"), fragment(r"\ude00"), fragment(r"\ud83d"), END)

    assert calls_of(events) == [("a", "f", "\U0001f600\ufffd")]


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("search", '{"query":"x"}', {"type": "tool_search_call", "execution": "client", "arguments": {"query": "x"}}),
        (
            "local",
            '{"command":["ls"],"timeout_ms":5}',
            {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": 5}},
        ),
        (
            "run",
            '{"commands":["ls"]}',
            {"type": "shell_call", "action": {"commands": ["ls"], "timeout_ms": None, "max_output_length": None}},
        ),
        (
            "ap",
            '{"operation":{"type":"delete_file","path":"p"}}',
            {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "p"}},
        ),
    ],
)
def test_structured_calls_come_whole(name: str, arguments: str, expected: dict[str, Any]) -> None:
    events, _ = read_all(calling(call(0, "a", name, arguments[:5])), calling(call(0, arguments=arguments[5:])), END)

    (item,) = fold(events).output
    assert {key: item[key] for key in expected} == expected
    assert (item["call_id"], item["status"]) == ("a", "completed")
    assert deltas(events) == []
    assert check_hub(events) == []


def test_half_a_structured_call_is_nothing_to_a_failure() -> None:
    events, _ = read_all(calling(call(0, "a", "run", '{"commands"')), end=None)

    assert isinstance(events[-1], Failed)
    assert events[-1].items == []


@pytest.mark.parametrize("finish", ["tool_calls", "length"])
def test_a_structured_call_that_cannot_be_read_is_a_plain_call(finish: str) -> None:
    events, reader = read_all(calling(call(0, "a", "run", '{"comm')), chunk_bytes({}, finish))

    assert calls_of(events) == [("a", "shell", '{"comm')]
    assert "arguments_unreadable" in kinds(reader)


def test_a_stream_of_closing_braces_is_not_looked_at_again_and_again() -> None:
    """Alternating fragments of an open call that is never complete cost time in proportion to their size."""
    pieces = [piece for n in range(4000) for piece in (call(0, arguments='{"x":{}'), call(1, arguments=f"{n}"))]
    events, _ = read_all(calling(call(0, "a", "f", "["), call(1, "b", "g", "")), calling(*pieces), END)

    assert len(calls_of(events)) == 2


def test_a_function_that_is_called_as_a_custom_tool_is_one() -> None:
    """The model answered free text to a function: what the client gets must be able to hold it."""
    fragment = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "mcp__files__read", "input": "free"}}
    events, _ = read_all(calling(fragment), END)

    (item,) = fold(events).output
    assert (item["type"], item["namespace"], item["name"]) == ("custom_tool_call", "mcp__files", "read")


def test_arguments_nested_too_deeply_to_be_written_are_none() -> None:
    deep = calling(call(0, "a", "f", "DEEP")).replace(b'"DEEP"', b"[" * 400 + b"]" * 400)
    events, _ = read_all(deep, END)

    assert calls_of(events) == [("a", "f", "{}")]


def test_what_has_been_said_of_many_calls_is_not_looked_at_for_every_fragment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that nobody named, all of them whole; then text, which waits for the one whose arguments go on."""
    looks, complete = [0], _Slot.complete

    def counted(slot: _Slot) -> bool:
        looks[0] += 1
        return complete(slot)

    monkeypatch.setattr(_Slot, "complete", counted)
    whole = [calling(call(index, f"id{index}", None, "{}")) for index in range(300)]
    more = [calling(call(300, arguments="x")) for _ in range(300)]
    read_all(*whole, calling(call(300, "last", None, "{")), chunk_bytes({"content": "x"}), *more, END)
    assert looks[0] < 2000
