"""Shorter without a model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapter.compaction.anatomy import summary_message, units
from adapter.compaction.keep import split
from adapter.compaction.options import Options
from adapter.compaction.sizes import total_tokens, weight
from adapter.compaction.trim import trim
from adapter.hub.events import Item
from tests.compaction.histories import assistant, call, developer, odd_histories, output, reasoning, user

TIGHT = Options(keep_user_tokens=20, keep_turn_tokens=20)


@given(items=odd_histories, target=st.integers(0, 200), going_on=st.booleans())
def test_the_outcome_is_shorter_ordered_and_keeps_what_must_stay(
    items: list[Item], target: int, going_on: bool
) -> None:
    taken = split(items, TIGHT, going_on=going_on)

    short = trim(taken, target)

    assert sum(map(weight, short)) <= sum(map(weight, items))
    places = {id(item): index for index, item in enumerate(short)}
    assert all(id(item) in places for item in taken.retained)
    assert short == trim(taken, target)
    assert total_tokens(short) <= max(target, total_tokens(taken.retained))


@given(items=odd_histories, target=st.integers(0, 100))
def test_no_exchange_is_ever_torn(items: list[Item], target: int) -> None:
    whole = sum(unit.open for unit in units(items))

    assert sum(unit.open for unit in units(trim(split(items, TIGHT, going_on=False), target))) <= whole


def test_what_fits_loses_only_reasoning_and_the_middle_of_outputs() -> None:
    items = [developer("d"), user("u"), reasoning("r"), call("a"), output("a", "x" * 9_000), assistant("done")]

    short = trim(split(items, Options(), going_on=False), 10_000)

    assert [item["type"] for item in short] == [
        "message",
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]
    assert len(short[3]["output"]) < 2_100
    assert items[4]["output"] == "x" * 9_000


def test_what_no_upstream_takes_goes_also_from_a_history_that_fits() -> None:
    items = [user("u"), output("lost"), call("never"), user("v")]

    assert trim(split(items, Options(), going_on=True), 10_000) == [items[0], items[3]]


def test_outputs_of_every_kind_are_clipped_and_what_is_no_text_is_left_alone() -> None:
    screenshot: Item = {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}}
    remote: Item = {"type": "mcp_call", "id": "m", "name": "n", "arguments": "{}", "output": "x" * 9_000}
    items = [user("u"), remote, {"type": "computer_call", "call_id": "c", "action": {}}, screenshot, assistant("done")]

    short = trim(split(items, Options(), going_on=False), 10_000)

    assert [short[0], *short[2:]] == [items[0], *items[2:]]
    assert len(short[1]["output"]) < 2_100


def test_the_oldest_exchanges_go_first() -> None:
    items = [user("u"), call("a"), output("a", "1" * 900), call("b"), output("b", "2" * 900), assistant("3")]

    assert trim(split(items, Options(), going_on=False), 300) == [items[0], *items[3:]]


def test_an_earlier_summary_outlives_the_exchanges_after_it() -> None:
    items = [summary_message("s" * 400), call("a"), output("a", "1" * 900), assistant("2" * 900), user("u")]

    assert trim(split(items, Options(), going_on=False), 300) == [items[0], items[4]]


def test_heavy_images_in_outputs_become_markers() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    link = {"type": "input_image", "image_url": "https://example.com/a.png"}
    items = [call("a"), output("a", [image, link, "bare", {"type": "input_text", "text": "y" * 9_000}]), assistant("x")]

    parts = trim(split(items, Options(), going_on=False), 10_000)[1]["output"]

    assert parts[:3] == [{"type": "input_text", "text": "[image]"}, link, "bare"]
    assert len(parts[3]["text"]) < 2_100
