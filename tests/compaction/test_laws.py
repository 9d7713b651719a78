"""The laws of compaction, from a client's first call to the upstream's next request, for any history."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.compaction.anatomy import is_orphan, is_summary, summary_message, units
from adapter.compaction.expand import Expanded, expand
from adapter.compaction.made import Made, Seals
from adapter.compaction.options import Options
from adapter.compaction.shapes import compaction_item
from adapter.compaction.sizes import weight
from adapter.compaction.summarise import Compacted, summarise
from adapter.conform.strict_responses import problems
from adapter.dialects import chat, responses
from adapter.errors import BadRequest
from adapter.hub.events import Item
from adapter.upstream.profiles import profile
from tests.compaction.histories import RING, answer, histories, odd_histories, request, user

STRATEGIES = ["summary", "trim"]
TIGHT = {"keep_user_tokens": 30, "keep_turn_tokens": 30, "trim_tokens": 40}
PROFILES = [profile(name) for name in ("generic", "openai", "deepseek", "mistral", "vllm")]


def compacted(items: list[Item], *, going_on: bool, text: str = "the facts", **options: Any) -> Compacted:
    work = summarise(request(items), Options(**TIGHT, **options), going_on=going_on)
    try:
        next(work)
        work.send(answer(text))
    except StopIteration as end:
        done: Compacted = end.value
        return done
    raise AssertionError("one call is enough for a short history")


def output_of(done: Compacted, *, whole: bool) -> list[Item]:
    """What the client of a compact call gets, and gives back whole."""
    made = Made.ours(done)
    seals = Seals(ring=RING, tenant="t", expanded=Expanded([]), origin="up", wraps=False)
    if whole:
        return [compaction_item(made.blob(seals), "t")]
    return made.reply_output(seals, "t")


def answers_to(items: list[Item]) -> list[Item]:
    """An output for every call that waits for one."""
    kinds = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
    waiting = [name for unit in units(items) for name in unit.waiting.elements()]
    types = {item["call_id"]: kinds[item["type"]] for item in items if item["type"] in kinds}
    return [{"type": types[name], "call_id": name, "output": "late"} for name in waiting]


@settings(max_examples=60)
@given(
    items=histories,
    whole=st.booleans(),
    late=st.booleans(),
    strategy=st.sampled_from(STRATEGIES),
    who=st.sampled_from(PROFILES),
)
def test_whatever_the_history_compact_then_continue_is_a_valid_request(
    items: list[Item], whole: bool, late: bool, strategy: str, who: Any
) -> None:
    output = output_of(compacted(items, going_on=False, strategy=strategy), whole=whole)
    more = answers_to(output) if late else []

    found = expand([*output, *more, user("go on")], RING, "t")
    body = chat.write_request(request(found.items), who).body
    native = responses.write_request(request(found.items), who).body | {"store": False}

    if not problems({"model": "m", "store": False, "input": [*items, *answers_to(items)]}):
        assert problems(native) == []
    assert_sound(body["messages"])
    assert body["messages"][-1] == {"role": "user", "content": "go on"}
    if strategy == "summary":
        assert sum("the facts" in str(message["content"]) for message in body["messages"]) == 1


@settings(max_examples=60)
@given(items=histories, strategy=st.sampled_from(STRATEGIES))
def test_going_on_is_valid_wherever_the_whole_history_was(items: list[Item], strategy: str) -> None:
    try:
        chat.write_request(request(items), PROFILES[0])
    except BadRequest:
        return

    assert_sound(
        chat.write_request(request(compacted(items, going_on=True, strategy=strategy).context), PROFILES[0]).body[
            "messages"
        ]
    )


def assert_sound(messages: list[dict[str, Any]]) -> None:
    """Every tool call is followed at once by its tool messages, and every tool message follows its call."""
    owed: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            owed.remove(message["tool_call_id"])
            continue
        assert not owed
        owed = [each["id"] for each in message.get("tool_calls", [])]
    assert not owed


@given(items=odd_histories, going_on=st.booleans(), strategy=st.sampled_from(STRATEGIES))
def test_the_context_is_never_longer_than_the_history_and_the_summary(
    items: list[Item], going_on: bool, strategy: str
) -> None:
    items = [item for item in items if item.get("type") != "compaction"]
    done = compacted(items, going_on=going_on, strategy=strategy)

    assert sum(map(weight, done.context)) <= sum(map(weight, items)) + weight(summary_message(done.text))


@given(items=odd_histories, going_on=st.booleans())
def test_retained_messages_are_the_clients_own_and_in_its_order(items: list[Item], going_on: bool) -> None:
    done = compacted(items, going_on=going_on)

    rest = iter(items)
    assert all(any(kept is item for item in rest) for kept in done.split.retained)
    assert [item for item in done.context if not (is_summary(item) and item not in items)] == done.split.retained


@given(items=histories)
def test_compacting_again_replaces_the_summary_and_never_piles_them_up(items: list[Item]) -> None:
    once = expand(
        [*output_of(compacted(items, going_on=False, text="first"), whole=False), user("more")], RING, "t"
    ).items
    twice = expand(
        [*output_of(compacted(once, going_on=False, text="second"), whole=False), user("on")], RING, "t"
    ).items

    assert [is_summary(item) for item in twice].count(True) == 1
    assert "first" not in str([item for item in twice if is_summary(item)])


@given(items=histories, whole=st.booleans(), again=st.booleans(), strategy=st.sampled_from(STRATEGIES))
def test_compacting_again_leaves_open_what_was_open(items: list[Item], whole: bool, again: bool, strategy: str) -> None:
    once = output_of(compacted(items, going_on=False, strategy=strategy), whole=whole)
    history = expand(once, RING, "t", going_on=False).items
    twice = output_of(compacted(history, going_on=False, strategy=strategy), whole=again)

    found = expand([*twice, *answers_to(items)], RING, "t").items

    assert [unit for unit in units(found) if is_orphan(found, unit)] == []


@given(items=histories, tenant=st.text(max_size=5))
def test_another_tenant_cannot_continue(items: list[Item], tenant: str) -> None:
    output = output_of(compacted(items, going_on=False), whole=True)

    if tenant != "t":
        with pytest.raises(BadRequest):
            expand(output, RING, tenant)
