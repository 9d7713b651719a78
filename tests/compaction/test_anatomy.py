"""What belongs together in a history."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.compaction.anatomy import Voice, is_summary, summary_message, units, voice
from adapter.hub.events import Item
from tests.compaction.histories import assistant, call, developer, odd_histories, output, reasoning, user


@given(items=odd_histories)
def test_every_item_is_in_exactly_one_unit_whatever_the_history(items: list[Item]) -> None:
    found = units(items)

    assert sorted(index for unit in found for index in unit.indices) == list(range(len(items)))
    assert [unit.indices[0] for unit in found] == sorted(unit.indices[0] for unit in found)
    assert all(unit.indices == sorted(unit.indices) for unit in found)


def test_a_run_of_the_model_and_the_outputs_of_its_calls_are_one_unit() -> None:
    items = [
        user("go"),
        reasoning("hm"),
        assistant("I look"),
        call("a"),
        call("b"),
        output("b"),
        output("a"),
        assistant("done"),
    ]

    assert [unit.indices for unit in units(items)] == [[0], [1, 2, 3, 4, 5, 6], [7]]


def test_a_late_output_joins_its_call_over_what_stands_between() -> None:
    assert [unit.indices for unit in units([call("a"), user("wait"), output("a")])] == [[0, 2], [1]]


def test_a_unit_is_open_until_every_call_has_its_output() -> None:
    one, both = units([call("a"), call("b"), output("a")]), units([call("a"), call("b"), output("a"), output("b")])

    assert (one[0].open, both[0].open) == (True, False)


def test_an_id_used_twice_pairs_in_order() -> None:
    first, second = units([call("a"), output("a"), call("a"), output("a")])

    assert (first.indices, second.indices) == ([0, 1], [2, 3])
    assert units([call("a"), call("a", "other"), output("a")])[0].open


def test_one_output_too_many_stays_with_its_call() -> None:
    assert [unit.indices for unit in units([call("a"), output("a"), user("x"), output("a")])] == [[0, 1, 3], [2]]


def test_a_call_said_twice_while_it_waits_is_one_call() -> None:
    again = {**call("a"), "id": "fc_9", "status": "completed"}

    assert [(unit.indices, unit.open) for unit in units([call("a"), user("x"), again, output("a")])] == [
        ([0, 2, 3], False),
        ([1], False),
    ]


def test_calls_too_deep_to_compare_are_two() -> None:
    calls = []
    for _ in range(2):
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        calls.append({"type": "shell_call", "call_id": "a", "action": deep})

    assert units(calls)[0].waiting == {"a": 2}


def test_an_output_without_its_call_stands_alone() -> None:
    (unit,) = units([output("nowhere")])

    assert unit.voice is Voice.OUTPUT


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ({"type": "local_shell_call", "id": "lsh_1", "action": {}}, {"type": "local_shell_call_output", "id": "lsh_1"}),
        ({"type": "mcp_approval_request", "id": "r"}, {"type": "mcp_approval_response", "approval_request_id": "r"}),
        ({"type": "tool_search_call", "call_id": "t"}, {"type": "tool_search_output", "call_id": "t"}),
        *(
            ({"type": kind, "call_id": "c"}, {"type": f"{kind}_output", "call_id": "c"})
            for kind in ("custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call", "computer_call")
        ),
    ],
)
def test_calls_of_every_kind_are_one_unit_with_their_outputs(asked: Item, answered: Item) -> None:
    assert units([asked])[0].open
    assert [unit.open for unit in units([asked, answered])] == [False]


def test_what_a_server_ran_itself_waits_for_nobody() -> None:
    assert not units(
        [{"type": "tool_search_call", "call_id": None, "execution": "server"}, {"type": "web_search_call"}]
    )[0].open


@pytest.mark.parametrize(
    ("item", "speaker"),
    [
        (user("x"), Voice.USER),
        (developer("x"), Voice.INSTRUCTION),
        ({"type": "additional_tools", "role": "developer", "tools": []}, Voice.INSTRUCTION),
        (summary_message("x"), Voice.SUMMARY),
        ({"type": "compaction", "encrypted_content": "x"}, Voice.SUMMARY),
        (assistant("x"), Voice.MODEL),
        ({"type": ["no", "type"]}, Voice.MODEL),
        (output("a"), Voice.OUTPUT),
    ],
)
def test_who_speaks(item: Item, speaker: Voice) -> None:
    assert voice(item) is speaker


@given(text=st.text())
def test_a_summary_is_known_again_whatever_it_says(text: str) -> None:
    assert is_summary(summary_message(text))


def test_codex_own_summaries_are_known_and_users_words_are_not() -> None:
    codex = "Another language model started to solve this problem and produced a summary of its thinking process. You…"

    assert is_summary(user(codex))
    assert not is_summary(user("Another language model would be nicer"))
    assert not is_summary({"type": "message", "role": "user", "content": None})
