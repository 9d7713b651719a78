"""One request's way over its targets: who is asked next, what rests, what the client hears in the end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapter import errors
from adapter.errors import AdapterError
from adapter.upstream.failover import Failover
from adapter.upstream.health import Health
from adapter.upstream.policy import TRIPS_AFTER
from adapter.upstream.router import Target, Upstream
from tests.upstream.written import section


def target(name: str, key: int = 0, **more: Any) -> Target:
    made = Upstream.of(
        section(**{"name": name, "base_url": "http://h/v1", "dialect": "chat", "api_key": "sk-own"} | more)
    )
    return Target(made, "m", "m", key)


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.health = Health(lambda: self.now, lambda: 1.0)

    def run(
        self, targets: list[Target], *outcomes: AdapterError | None, tenant: str = ""
    ) -> tuple[list[str], AdapterError | None]:
        """Who was asked, and what came of it; `outcomes` are those of the attempts, None an answer."""
        failover, asked = Failover(targets, self.health, tenant), []
        left = list(outcomes)
        while (at := failover.next()) is not None:
            assert failover.enter(at)
            asked.append(f"{at.upstream.name}{at.key or ''}")
            outcome = left.pop(0)
            if outcome is None:
                failover.answered()
                failover.leave()
                return asked, None
            failover.failed(outcome)
        return asked, failover.error()


def entered(failover: Failover) -> Target | None:
    at = failover.next()
    assert at is None or failover.enter(at)
    return at


GONE = errors.UpstreamUnreachable("gone")
SICK = errors.UpstreamUnwell("sick", status=503)
LIMITED = errors.UpstreamLimited("slow down", retry_after=7)
WRONG = errors.UpstreamRefused("wrong", status=400)
ABSENT = errors.ModelNotFound("none")
SPENT = errors.UpstreamRefused("spent", status=429, type="insufficient_quota")
KEYLESS = errors.UpstreamAuth("refused")
BUSY = errors.UpstreamUnwell("conflict", status=409)
A, B, C = target("a"), target("b"), target("c")


@pytest.mark.parametrize(
    ("outcomes", "asked"),
    [
        ([None], "a"),
        ([GONE, None], "ab"),
        ([GONE, SICK, None], "abc"),
        ([LIMITED, None], "ab"),
        ([ABSENT, None], "ab"),
        ([SPENT, None], "ab"),
        ([BUSY, None], "ab"),
    ],
)
def test_the_next_target_answers(outcomes: list[AdapterError | None], asked: str) -> None:
    assert World().run([A, B, C], *outcomes) == (list(asked), None)


def test_every_attempt_is_told_with_its_outcome() -> None:
    failover = Failover([A, B], World().health)
    assert entered(failover) is A
    failover.failed(GONE)
    assert entered(failover) is B
    failover.answered()
    assert failover.tried == [("a", "gone"), ("b", "ok")]


def test_the_client_s_own_fault_is_nobody_else_s() -> None:
    asked, error = World().run([A, B, C], WRONG)
    assert (asked, error) == (["a"], WRONG)
    assert WRONG.should_retry is None


def test_when_all_fail_the_client_is_told_not_to_multiply_it() -> None:
    error = errors.UpstreamUnwell("sick", status=500)
    asked, last = World().run([A, B], GONE, error)
    assert (asked, last) == (["a", "b"], error)
    assert error.should_retry is False


def test_one_failed_attempt_leaves_the_retry_to_the_client() -> None:
    error = errors.UpstreamUnwell("sick", status=500)
    World().run([A], error)
    assert error.should_retry is None


def test_a_target_without_the_model_does_not_hide_why_the_others_failed() -> None:
    assert World().run([A, B], SICK, ABSENT)[1] is SICK
    assert World().run([A, B], ABSENT, SICK)[1] is SICK


def test_a_target_without_the_model_does_not_hide_that_another_one_only_rests() -> None:
    world = World()
    world.run([B], LIMITED)
    asked, error = world.run([A, B], ABSENT)
    assert (asked, type(error), error and error.retry_after) == (["a"], errors.UpstreamLimited, 7)
    assert world.run([A], ABSENT) == (["a"], ABSENT)


@pytest.mark.parametrize("rests", [LIMITED, SPENT])
def test_a_key_that_rests_does_not_hide_that_its_upstream_is_without_the_model(rests: AdapterError) -> None:
    world, section = World(), {"api_key": None, "api_keys": ["sk-1", "sk-2"]}
    one = target("a", **section)
    other = replace(one, key=1)
    world.run([other], rests)
    for order in ([one, other], [other, one]):
        assert world.run(order, ABSENT) == (["a"], ABSENT)


def test_a_conflict_is_tried_once_more_on_the_same_target_after_a_pause() -> None:
    failover = Failover([A], World().health)
    assert entered(failover) is A
    failover.failed(BUSY)
    assert entered(failover) is A
    assert failover.pause > 0
    failover.failed(BUSY)
    assert failover.next() is None
    assert failover.error() is BUSY


def test_a_limited_key_gives_way_to_the_next_and_rests_as_long_as_it_was_told() -> None:
    world, keys = World(), [A, replace(A, key=1), B]
    assert world.run(keys, LIMITED, None) == (["a", "a1"], None)
    assert world.run(keys, None) == (["a1"], None)
    world.now += 7
    assert world.run(keys, None) == (["a"], None)


@pytest.mark.parametrize("refusal", [LIMITED, SPENT, KEYLESS])
def test_where_it_is_the_key_that_failed_the_upstreams_next_key_is_asked(refusal: AdapterError) -> None:
    assert World().run([A, replace(A, key=1), B], refusal, None) == (["a", "a1"], None)


def test_a_rate_limit_is_of_one_model_and_a_spent_quota_of_the_key() -> None:
    world = World()
    other = Target(A.upstream, "other")
    world.run([A, B], LIMITED, None)
    assert world.run([other, B], None)[0] == ["a"]
    world.run([other, B], SPENT, None)
    world.now += 60
    assert world.run([A, B], None)[0] == ["b"]
    world.now += 600
    assert world.run([A, B], None)[0] == ["a"]


def test_a_broken_upstream_is_left_with_all_of_its_keys() -> None:
    assert World().run([A, replace(A, key=1), B], SICK, None) == (["a", "b"], None)


def test_where_everything_rests_the_client_hears_how_long() -> None:
    world = World()
    world.run([A], LIMITED)
    world.now += 2
    asked, error = world.run([A])
    assert (asked, type(error), error and error.retry_after) == ([], errors.UpstreamLimited, 5)


def test_c30_where_every_breaker_is_open_there_is_no_upstream_for_a_while() -> None:
    world = World()
    for _ in range(TRIPS_AFTER):
        world.run([A, B], GONE, GONE)
    asked, error = world.run([A, B])
    assert (asked, type(error), error and error.retry_after) == ([], errors.NoUpstream, 2)
    world.now += 2
    assert world.run([A, B], None) == (["a"], None)


def test_a_refusal_is_an_answer_what_failed_before_it_is_forgotten() -> None:
    world = World()
    for outcome in (*[GONE] * (TRIPS_AFTER - 1), WRONG, *[GONE] * (TRIPS_AFTER - 1)):
        assert world.run([A], outcome)[0] == ["a"]
    assert world.health.wait(A, "") == 0
    world.run([A], GONE)
    assert world.health.wait(A, "") == 2


def test_what_breaks_over_one_tenants_requests_is_shut_for_that_one_alone() -> None:
    """A 500 of a template for what somebody says (llama.cpp, LM Studio) comes as often as that one asks."""
    world = World()
    for _ in range(TRIPS_AFTER):
        world.run([A], SICK, tenant="a")
    assert world.run([A], tenant="a")[0] == []
    assert world.run([A], None, tenant="b") == (["a"], None)
    assert world.run([A], tenant="a")[0] == [], "what was answered to another one says nothing of these"


def test_a_server_that_is_gone_is_gone_for_all() -> None:
    world = World()
    for _ in range(TRIPS_AFTER):
        world.run([A], GONE, tenant="a")
    assert world.run([A], tenant="b")[0] == []


def test_a_probe_that_fails_keeps_the_others_out_for_longer() -> None:
    world = World()
    for _ in range(TRIPS_AFTER):
        world.run([A], GONE)
    world.now += 2
    assert world.run([A], GONE)[0] == ["a"]
    asked, error = world.run([A])
    assert (asked, type(error), error and error.retry_after) == ([], errors.NoUpstream, 4)


@pytest.mark.parametrize(
    "refusal", [errors.UpstreamAuth("refused"), errors.UpstreamRefused("spent", status=429, type="insufficient_quota")]
)
@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2], [1, 2, 0]])
def test_a_refused_key_does_not_hide_that_others_have_only_had_enough(order: list[int], refusal: AdapterError) -> None:
    """Three accounts behind a model, of which one is spent: the client has to come again, however often it asks meanwhile."""
    keys = [A, replace(A, key=1), B]
    outcomes = [
        refusal,
        errors.UpstreamLimited("slow", retry_after=30),
        errors.UpstreamLimited("slow down", retry_after=7),
    ]
    world = World()
    for asked in ([keys[at] for at in order], [A], [A]):
        names = [f"{at.upstream.name}{at.key or ''}" for at in asked]
        found, error = world.run([keys[at] for at in order], *(outcomes[keys.index(at)] for at in asked))
        assert (found, type(error), error and error.retry_after) == (names, errors.UpstreamLimited, 7)
        assert error is not None
        assert error.should_retry is None


def test_keys_that_have_all_had_enough_are_waited_for_as_one_is() -> None:
    """An SDK that is told so tries again, when it is of use; until then nobody is asked."""
    world, keys = World(), [A, replace(A, key=1)]
    outcomes = [errors.UpstreamLimited("slow down", retry_after=seconds) for seconds in (30, 7)]
    _, error = world.run(keys, *outcomes)
    assert error is outcomes[1]
    assert (error.retry_after, error.should_retry) == (7, None)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_keys_that_rest_the_client_waits_for_the_first(order: int) -> None:
    world, keys = World(), [A, replace(A, key=1)]
    for key, seconds in zip(keys, (30, 7), strict=True):
        world.run([key], errors.UpstreamLimited("slow down", retry_after=seconds))
    asked, error = world.run(keys[::order])
    assert (asked, error and error.retry_after) == ([], 7)


@pytest.mark.parametrize(
    ("fault", "counts"),
    [
        (GONE, True),
        (errors.UpstreamUnconnected("blackhole"), True),
        (errors.UpstreamTimeout("slow"), True),
        (SICK, True),
        (errors.UpstreamEmpty("empty"), True),
        (BUSY, False),
        (ABSENT, False),
        (WRONG, False),
        (errors.NoSummary("none"), False),
    ],
)
def test_what_fails_in_a_row_opens_the_breaker_and_what_an_upstream_only_refuses_does_not(
    fault: AdapterError, counts: bool
) -> None:
    world = World()
    for _ in range(TRIPS_AFTER):
        failover = Failover([A], world.health)
        assert entered(failover) is A
        failover.failed(fault)
    assert (entered(Failover([A], world.health)) is None) is counts


@pytest.mark.parametrize("fault", [SICK, errors.UpstreamTimeout("slow"), errors.UpstreamEmpty("empty")])
def test_a_model_that_is_broken_closes_no_door_to_the_others_of_its_upstream(fault: AdapterError) -> None:
    world, other = World(), replace(A, model="other")
    for _ in range(TRIPS_AFTER):
        world.run([A], fault)
    assert world.run([A])[0] == []
    assert world.run([other], None) == (["a"], None)
    assert world.run([A])[0] == [], "what the other one answers is no news about this one"


@pytest.mark.parametrize("fault", [GONE, errors.UpstreamUnconnected("blackhole")])
def test_an_upstream_that_is_not_there_is_there_for_none_of_its_models(fault: AdapterError) -> None:
    world, other = World(), replace(A, model="other")
    for _ in range(TRIPS_AFTER):
        world.run([A], fault)
    assert world.run([other])[0] == []
    world.now += 2
    assert world.run([other], None) == (["a"], None)
    assert world.run([A], None) == (["a"], None)


def test_a_probe_of_a_model_that_finds_nobody_there_is_no_failure_of_the_model() -> None:
    world = World()
    for _ in range(TRIPS_AFTER):
        world.run([A], SICK)
    world.now += 2
    assert world.run([A], GONE)[0] == ["a"]
    assert world.run([A], None) == (["a"], None)


def test_clients_that_name_ever_more_models_take_no_more_memory() -> None:
    world = World()
    for number in range(2048):
        world.run([replace(A, model=f"sick{number}")], SICK)
        world.run([replace(A, model=f"limited{number}")], LIMITED)
    assert (len(world.health._breakers), len(world.health._rests)) == (1024, 1024)
    for _ in range(TRIPS_AFTER):
        world.run([A], SICK)
    assert world.run([A])[0] == []


def test_a_half_open_target_gets_one_probe_and_the_others_go_elsewhere() -> None:
    world = World()
    for _ in range(TRIPS_AFTER):
        world.run([A, B], GONE, None)
    assert world.run([A, B], None)[0] == ["b"]
    world.now += 2
    probe, other = Failover([A, B], world.health), Failover([A, B], world.health)
    assert entered(probe) is A
    assert entered(other) is B
    probe.leave()
    assert world.run([A, B], None)[0] == ["a"]


def test_an_old_answer_that_ends_makes_no_room_for_a_second_probe() -> None:
    world = World()
    old = Failover([A], world.health)
    assert entered(old) is A
    old.answered()
    for _ in range(TRIPS_AFTER):
        world.run([A], GONE)
    world.now += 2
    assert entered(Failover([A], world.health)) is A
    old.leave()
    assert entered(Failover([A], world.health)) is None


def test_c31_a_full_target_is_passed_over_and_alone_is_a_503_of_its_own() -> None:
    world, narrow = World(), target("n", max_concurrency=1)
    running = Failover([narrow], world.health)
    assert entered(running) is narrow
    assert world.run([narrow, B], None)[0] == ["b"]
    asked, error = world.run([narrow])
    assert (asked, type(error), error and error.retry_after) == ([], errors.Overloaded, 1)
    running.answered()
    running.leave()
    running.leave()
    assert world.run([narrow], None)[0] == ["n"]


def test_a_request_takes_one_place_unless_it_says_more() -> None:
    world, two = World(), target("two", max_concurrency=2)
    assert [entered(Failover([two], world.health)) for _ in range(3)] == [two, two, None]


def test_a_request_for_several_calls_gets_the_places_that_are_left_and_gives_back_as_many() -> None:
    world, narrow = World(), target("n", max_concurrency=3)
    several, others = Failover([narrow], world.health), Failover([narrow], world.health)
    assert several.enter(narrow, 2)
    assert others.enter(narrow, 4)
    assert (several.places, others.places) == (2, 1)
    assert world.run([narrow, B], None)[0] == ["b"]
    several.failed(GONE)
    assert others.places == 1
    assert world.health.running["n"] == 1
    others.leave()
    assert world.health.running["n"] == 0
    assert several.enter(B, 4)
    assert several.places == 4


def test_what_a_request_asks_beside_its_turn_at_the_same_upstream_takes_no_place_of_its_own() -> None:
    world, narrow = World(), target("n", max_concurrency=1)
    assert entered(Failover([narrow], world.health)) is narrow
    beside = Failover([narrow], world.health, held=narrow.upstream)
    assert entered(beside) is narrow
    assert world.health.running["n"] == 1
    beside.answered()
    beside.leave()
    assert world.health.running["n"] == 1


def test_a_server_that_fails_slowly_is_not_asked_more_than_a_fifth_more() -> None:
    world = World()
    pool = [target(f"u{number}") for number in range(100)]
    made = 0
    for at in range(90):
        asked, _ = world.run([pool[at], pool[at + 1], pool[at + 2]], SICK, SICK, SICK)
        made += len(asked)
    assert made <= 90 * 1.2 + 10 + 1


def test_killing_a_target_under_load_loses_nothing_whatever_the_budget() -> None:
    world = World()
    ways = [Failover([A, B], world.health) for _ in range(200)]
    assert all(entered(way) is A for way in ways)
    for way in ways:
        way.failed(GONE)
    assert all(entered(way) is B for way in ways)


def test_a_history_that_is_bound_to_another_target_goes_there_or_nowhere() -> None:
    world = World()
    failover = Failover([A, B, C], world.health)
    assert failover.next() is A
    assert failover.enter(C)
    failover.failed(GONE)
    assert failover.next() is A, "nothing was asked of it yet"
    for _ in range(TRIPS_AFTER):
        world.run([C], GONE)
    bound = Failover([A, C], world.health)
    assert bound.next() is A
    assert not bound.enter(C)
    assert isinstance(bound.error(), errors.NoUpstream)


@pytest.mark.parametrize(
    "refusal",
    [errors.UpstreamRefused("spent", status=429, type="insufficient_quota"), errors.UpstreamAuth("refused")],
)
def test_a_spent_or_refused_key_is_asked_all_the_same_where_there_is_no_other(refusal: AdapterError) -> None:
    world = World()
    for _ in range(3):
        assert world.run([A], refusal) == (["a"], refusal)
    assert refusal.should_retry is False
    assert world.run([A, B], None)[0] == ["b"]
    assert world.run([A], None)[0] == ["a"]


def test_a_history_that_is_bound_to_a_spent_key_goes_there_all_the_same() -> None:
    world = World()
    world.run([C], SPENT)
    failover = Failover([C, A], world.health)
    assert failover.next() is A
    assert failover.enter(C)


def test_a_spent_key_of_a_full_upstream_waits_for_a_place_like_any_other() -> None:
    world, full = World(), target("full", max_concurrency=1)
    world.run([full], SPENT)
    running = Failover([full], world.health)
    assert entered(running) is full
    asked, error = world.run([full])
    assert (asked, type(error), error and error.retry_after) == ([], errors.Overloaded, 1)
    running.leave()
    assert world.run([full], None) == (["full"], None)


def test_an_upstream_of_no_use_is_not_looked_at_again_for_another_of_its_spent_keys() -> None:
    world, keys = World(), [A, replace(A, key=1)]
    world.run(keys, SPENT, SPENT)
    failover = Failover(keys, world.health)
    assert failover.next() is keys[0]
    failover.skip(keys[0])
    assert failover.next() is None


def test_a_retry_is_paid_for_once_however_many_targets_are_of_no_use() -> None:
    world = World()
    while world.health.budget.spend():
        pass
    for _ in range(5):  # each saves a fifth
        world.run([A], None)
    failover = Failover([A, B, C], world.health)
    assert entered(failover) is A
    failover.failed(SICK)
    assert failover.next() is B
    failover.skip(B)
    assert failover.next() is C
    assert world.run([A], BUSY)[0] == ["a"]  # nothing is left for a second attempt


def test_what_one_callers_own_key_may_is_not_anothers() -> None:
    world, theirs = World(), target("theirs", api_key=None)
    world.run([theirs], LIMITED)
    assert world.run([theirs], None)[0] == ["theirs"]
