"""What stays word for word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapter.compaction.anatomy import Voice, is_summary, voice
from adapter.compaction.keep import placed, split, worth_compacting
from adapter.compaction.options import Options
from adapter.compaction.sizes import weight
from adapter.hub.events import Item
from tests.compaction.histories import assistant, call, developer, odd_histories, output, reasoning, user

OPTIONS = Options()
SMALL = Options(keep_user_tokens=100, keep_turn_tokens=100)


@given(items=odd_histories, going_on=st.booleans(), budget=st.integers(0, 60))
def test_what_stays_is_a_subsequence_of_the_history_and_the_context_adds_only_the_summary(
    items: list[Item], going_on: bool, budget: int
) -> None:
    taken = split(items, Options(keep_user_tokens=budget, keep_turn_tokens=budget), going_on=going_on)

    assert taken.kept == sorted(set(taken.kept))
    assert sorted([*taken.kept, *taken.rest]) == list(range(len(items)))
    assert all(kept is items[index] for kept, index in zip(taken.retained, taken.kept, strict=True))
    context = taken.context("S")
    assert is_summary(context[taken.cut])
    assert context[: taken.cut] + context[taken.cut + 1 :] == taken.retained
    assert sum(map(weight, taken.retained)) <= sum(map(weight, items))


@given(items=odd_histories, going_on=st.booleans())
def test_instructions_always_stay(items: list[Item], going_on: bool) -> None:
    taken = split(items, Options(keep_user_tokens=0, keep_turn_tokens=0), going_on=going_on)

    assert {i for i, item in enumerate(items) if voice(item) is Voice.INSTRUCTION} <= set(taken.kept)


def test_recent_user_messages_stay_whole_and_the_first_that_does_not_fit_ends_the_count() -> None:
    items = [user("a" * 40), user("b" * 400), user("c" * 40), assistant("x"), user("d" * 40)]

    assert split(items, SMALL, going_on=False).kept == [2, 4]


def test_an_image_counts_as_an_image_and_not_as_its_encoding() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 1_000_000, "detail": "auto"}
    items: list[Item] = [{"type": "message", "role": "user", "content": [image]}, assistant("a cat")]

    assert split(items, OPTIONS, going_on=False).kept == [0]


def test_summaries_are_never_kept_as_users_words() -> None:
    items = [user("Another language model started to solve this problem and produced a summary of…"), user("go on")]

    assert split(items, OPTIONS, going_on=False).kept == [1]


def test_standing_still_an_open_exchange_stays_whole_behind_the_summary() -> None:
    items = [user("go"), call("a"), output("a"), reasoning("hm"), call("b"), call("c"), output("c")]

    taken = split(items, OPTIONS, going_on=False)

    assert taken.kept == [0, 3, 4, 5, 6]
    assert taken.cut == 1


def test_standing_still_the_summary_comes_last_where_nothing_is_open() -> None:
    taken = split([user("go"), call("a"), output("a")], OPTIONS, going_on=False)

    assert (taken.kept, taken.cut) == ([0], 1)


def test_going_on_the_last_user_turn_stays_whole_behind_the_summary() -> None:
    items = [developer("be kind"), user("one"), assistant("1"), user("two"), call("a"), output("a")]

    taken = split(items, OPTIONS, going_on=True)

    assert taken.kept == [0, 1, 3, 4, 5]
    assert taken.cut == 2


def test_going_on_the_last_user_turn_stays_whole_however_long_it_is() -> None:
    """Unless a bound is set."""
    items = [
        user("one"),
        assistant("1"),
        user("fix it"),
        *[part for n in range(50) for part in (call(str(n)), output(str(n), "x" * 9000))],
    ]

    assert split(items, Options(), going_on=True).rest == [1]


def test_going_on_of_an_overlong_turn_the_users_words_and_the_last_exchange_stay() -> None:
    items = [user("fix it"), call("a"), output("a", "x" * 5000), call("b"), output("b", "y" * 5000)]

    taken = split(items, SMALL, going_on=True)

    assert taken.kept == [0, 3, 4]
    assert taken.cut == 1


def test_going_on_without_any_user_keeps_the_last_exchange() -> None:
    assert split([assistant("a"), call("a"), output("a")], SMALL, going_on=True).kept == [0, 1, 2]
    assert split([call("b"), output("b"), call("a"), output("a")], SMALL, going_on=True).kept == [2, 3]


def test_going_on_reasoning_that_led_to_nothing_is_not_the_last_exchange() -> None:
    items = [call("a"), output("a", "x" * 900), reasoning("hm")]

    assert split(items, SMALL, going_on=True).kept == [0, 1]
    assert split([reasoning("x" * 900)], SMALL, going_on=True).kept == [0]


def test_going_on_a_call_that_nobody_answered_is_left_to_the_summary() -> None:
    items = [user("one"), call("lost"), user("two")]

    assert split(items, OPTIONS, going_on=True).kept == [0, 2]
    assert split(items, OPTIONS, going_on=False).kept == [0, 1, 2]


def test_going_on_a_call_that_runs_beside_the_conversation_stays_until_it_is_answered() -> None:
    running = {**call("a"), "async": True}
    items = [user("one"), running, assistant("it runs"), user("two")]

    assert split(items, OPTIONS, going_on=True).kept == [0, 1, 2, 3]
    assert split([*items, output("a"), user("three")], OPTIONS, going_on=True).kept == [0, 3, 5]
    assert split([items[0], running, call("lost"), *items[2:]], OPTIONS, going_on=True).kept == [0, 4]


def test_going_on_an_exchange_that_ends_in_the_last_turn_belongs_to_it() -> None:
    items = [assistant("0"), user("one"), call("a"), user("two"), output("a")]

    taken = split(items, Options(keep_user_tokens=0), going_on=True)

    assert (taken.kept, taken.cut) == ([2, 3, 4], 0)


def test_going_on_a_long_turn_keeps_the_exchange_that_ends_last_wherever_it_began() -> None:
    items = [call("a"), user("one"), assistant("x" * 900), output("a")]

    taken = split(items, SMALL, going_on=True)

    assert (taken.kept, taken.cut) == ([0, 1, 3], 0)


def test_a_short_history_is_not_worth_compacting_and_a_long_one_is() -> None:
    short, long = [user("one"), assistant("1"), user("two")], [user("one"), assistant("x" * 20_000), user("two")]

    assert not worth_compacting(split(short, OPTIONS, going_on=True), OPTIONS)
    assert worth_compacting(split(long, OPTIONS, going_on=True), OPTIONS)


def test_an_empty_history_splits_into_nothing() -> None:
    for going_on in (True, False):
        taken = split([], OPTIONS, going_on=going_on)
        assert (taken.kept, taken.cut, taken.rest) == ([], 0, [])


def test_a_summary_goes_before_the_exchanges_that_are_answered_next() -> None:
    kept = [user("go"), call("a")]

    assert placed(kept, user("S")) == [user("go"), user("S"), call("a")]
    assert placed([call("a"), user("go")], user("S")) == [call("a"), user("go"), user("S")]
