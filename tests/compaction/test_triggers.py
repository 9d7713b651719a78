"""When a request asks for a compaction."""

from __future__ import annotations

import pytest

from adapter.compaction.triggers import is_due, is_triggered
from adapter.errors import InvalidValue
from adapter.hub.events import Item
from tests.compaction.histories import request, user

TRIGGER: Item = {"type": "compaction_trigger"}


def test_a_trigger_at_the_end_is_one() -> None:
    assert is_triggered([user("a"), TRIGGER])
    assert not is_triggered([user("a")])
    assert not is_triggered([])


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([TRIGGER], "input[0]"),
        ([TRIGGER, user("a")], "input[0]"),
        ([user("a"), TRIGGER, TRIGGER], "input[2]"),
        ([user("a"), TRIGGER, user("b"), TRIGGER], "input[3]"),
    ],
)
def test_a_trigger_elsewhere_twice_or_alone_is_refused(items: list[Item], param: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        is_triggered(items)
    assert refused.value.param == param


def test_a_compaction_is_due_when_items_instructions_and_tools_pass_the_threshold() -> None:
    asked = request([user("x" * 4_000)], instructions="y" * 4_000, tools=[{"name": "z" * 4_000}])

    assert is_due(asked, 3_000)
    assert not is_due(asked, 3_100)
    assert not is_due(request([user("x" * 4_000)]), 1_100)
