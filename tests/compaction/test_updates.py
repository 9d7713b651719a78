"""`configuration_update` items of a history that is made short: one that says what they say together."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.compaction.updates import in_effect, update_items
from adapter.hub.events import Item
from tests.compaction.histories import assistant, user


def update(**settings: Any) -> Item:
    return {"type": "configuration_update", **settings}


LOW, HIGH = {"effort": "low"}, {"effort": "high"}
FORMAT = {"format": {"type": "json_schema", "name": "n", "schema": {}}}


@pytest.mark.parametrize(
    ("updates", "together"),
    [
        ([], []),
        ([update(reasoning=HIGH)], [update(reasoning=HIGH)]),
        ([update(reasoning=HIGH), update(reasoning=LOW)], [update(reasoning=LOW)]),
        ([update(text=FORMAT), update(reasoning=LOW)], [update(text=FORMAT, reasoning=LOW)]),
        ([update(reasoning=HIGH, id="x"), update(reasoning={"effort": None}, text=None)], [update(reasoning=HIGH)]),
        ([update(), update(reasoning="high", text=[])], []),
    ],
)
def test_each_setting_is_the_last_that_was_said(updates: list[Item], together: list[Item]) -> None:
    history = [item for one in updates for item in (user("a"), one, assistant("b"))]

    assert in_effect(history) == together


def test_an_answer_shows_it_with_an_id() -> None:
    (shown,) = update_items([update(reasoning=LOW)], "t")

    assert shown == {"id": "item_t", **update(reasoning=LOW)}
