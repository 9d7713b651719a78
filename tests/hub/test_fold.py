"""The fold from events to an answer, and the way back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import UpstreamError
from adapter.hub.events import Failed, Finished, Item, ItemClosed, Started, Usage
from adapter.hub.fold import Answer, fold, unfolded
from adapter.hub.usage import estimated

ENDS = [("completed", None), ("incomplete", "max_output_tokens"), ("incomplete", "content_filter")]


def item(index: int) -> Item:
    return {"type": "message", "id": f"msg_{index}"}


@given(st.permutations(range(4)))
def test_items_that_overlapped_stand_in_their_order(closed: list[int]) -> None:
    answer = fold(ItemClosed(index, item(index)) for index in closed)

    assert answer.output == [item(index) for index in range(4)]


@given(st.sets(st.integers(0, 4)))
def test_what_a_failure_leaves_open_stands_where_it_was_opened(closed: set[int]) -> None:
    opened = [item(index) for index in range(5) if index not in closed]
    answer = fold([*(ItemClosed(index, item(index)) for index in closed), Failed(UpstreamError("no"), opened)])

    assert answer.output == [item(index) for index in range(5)]


@given(st.integers(0, 3), st.sampled_from(ENDS), st.booleans(), st.booleans())
def test_an_answer_is_what_its_events_amount_to(size: int, end: tuple[str, str], counted: bool, failed: bool) -> None:
    usage = estimated(4, 8) if counted else None
    error = UpstreamError("no") if failed else None
    status, reason = ("failed", None) if failed else end
    answer = Answer(
        "resp_1", "m", 5, status, reason, {n: item(n) for n in range(size)}, usage, {"service_tier": "flex"}, error
    )

    assert fold(unfolded(answer)) == answer


def test_the_steps_of_items_take_the_place_of_their_ends() -> None:
    answer = Answer("resp_1", "m", 5, "completed", None, {0: item(0)}, estimated(4, 8))

    assert unfolded(answer, []) == [Started("resp_1", "m", 5), Usage(estimated(4, 8)), Finished("completed")]
