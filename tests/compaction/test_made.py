"""A compaction on its way to the client: as a reply's output, as one blob, and back again."""

from __future__ import annotations

import pytest

from adapter.compaction.expand import Expanded, expand
from adapter.compaction.made import Made, Seals
from adapter.compaction.options import Options
from adapter.compaction.outgoing import wrapped_item
from adapter.compaction.shapes import compaction_item
from adapter.compaction.summarise import trimmed
from adapter.hub.events import Item
from tests.compaction.histories import RING, call, developer, output, request, usage, user

THEIRS: Item = {"type": "compaction", "id": "cmp_up", "encrypted_content": "gAAAA"}


def seals(expanded: Expanded | None = None, *, wraps: bool = True) -> Seals:
    return Seals(ring=RING, tenant="t", expanded=expanded or Expanded([]), origin="up", wraps=wraps)


def theirs(output: list[Item], context: list[Item] | None = None) -> Made:
    context = output if context is None else context
    return Made(context=context, output=output, summary=None, usage=usage(1, 1), estimated=False)


def test_an_upstreams_own_output_goes_on_with_its_blob_wrapped_and_last() -> None:
    shown = theirs([THEIRS, user("a")]).reply_output(seals(), "t")

    assert [item["type"] for item in shown] == ["message", "compaction"]
    back = expand([*shown, user("on")], RING, "t")
    assert back.origin == "up"
    assert back.items[1] == THEIRS


def test_where_nobody_else_could_serve_the_blob_is_passed_on_as_it_is() -> None:
    assert theirs([user("a"), THEIRS]).reply_output(seals(wraps=False), "t")[-1] == THEIRS
    assert theirs([THEIRS]).blob(seals(wraps=False)) == "gAAAA"


def test_where_others_could_serve_it_the_one_blob_is_wrapped() -> None:
    back = expand([compaction_item(theirs([THEIRS]).blob(seals()), "t")], RING, "t")

    assert (back.origin, back.items[0]["encrypted_content"]) == ("up", "gAAAA")


@pytest.mark.parametrize("wraps", [False, True])
def test_what_stands_beside_an_upstreams_blob_goes_into_the_one_item_with_it(wraps: bool) -> None:
    context = [developer("d"), user("kept"), THEIRS, user("asked")]

    sealed = theirs([user("kept"), THEIRS], context).blob(seals(wraps=wraps))
    back = expand([user("dropped"), compaction_item(sealed, "t"), user("on")], RING, "t")

    assert back.items == [*context, user("on")]
    assert back.origin == "up"


def test_reasoning_of_another_upstream_that_stays_open_keeps_its_origin() -> None:
    thought: Item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAB"}
    found = expand([user("a"), wrapped_item(thought, RING, "t", "other"), call("1")], RING, "t")

    made = theirs([found.items[1], found.items[2], THEIRS])
    shown = made.blob(seals(found))
    back = expand([compaction_item(shown, "t"), output("1")], RING, "t")

    assert back.reasoning_origins == {0: "other"}
    assert back.items[0]["encrypted_content"] == "gAAAAB"


def test_reasoning_of_another_upstream_in_a_history_that_was_cut_without_a_model_keeps_its_origin() -> None:
    thought: Item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAB"}
    found = expand([user("a"), wrapped_item(thought, RING, "t", "other"), call("1")], RING, "t")

    shown = Made.ours(trimmed(request(found.items), Options(), going_on=False)).reply_output(seals(found), "t")
    back = expand([*shown, output("1")], RING, "t")

    assert back.reasoning_origins == {1: "other"}
