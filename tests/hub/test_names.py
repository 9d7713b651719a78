"""Names and call ids that do not fit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.hub.names import fitted_call_id, fitted_name, other_call_id
from adapter.upstream.profiles import CallIdRule

RULES = [
    CallIdRule(),
    CallIdRule(max=40),
    CallIdRule(max=9, alphabet="alnum"),
    CallIdRule(max=12),
    CallIdRule(alphabet="word"),
]


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=100)
@given(id=st.text(st.characters(), max_size=100))
def test_every_id_fits_afterwards_and_fitting_twice_is_fitting_once(rule: CallIdRule, id: str) -> None:
    fitted = fitted_call_id(id, rule)

    assert 0 < len(fitted) <= rule.max
    if rule.alphabet == "alnum":
        assert len(fitted) == rule.max
    assert rule.alphabet == "any" or fitted.encode("ascii").translate(None, b"_-" * (rule.alphabet == "word")).isalnum()
    assert fitted_call_id(fitted, rule) == fitted


def test_an_id_that_fits_is_left_alone() -> None:
    assert fitted_call_id("call_abc", CallIdRule()) == "call_abc"
    assert fitted_call_id("abcDEF123", CallIdRule(max=9, alphabet="alnum")) == "abcDEF123"
    assert fitted_call_id("toolu_01-a", CallIdRule(alphabet="word")) == "toolu_01-a"


@pytest.mark.parametrize("rule", RULES)
def test_long_ids_with_the_same_beginning_stay_apart(rule: CallIdRule) -> None:
    long = ["call_" + "x" * 80 + str(i) for i in range(200)]

    assert len({fitted_call_id(one, rule) for one in long}) == 200


def test_an_empty_id_gets_one() -> None:
    assert fitted_call_id("", CallIdRule()).startswith("call_")


@pytest.mark.parametrize("rule", [*RULES, CallIdRule(max=1, alphabet="alnum")])
def test_ids_that_are_taken_are_not_given_again(rule: CallIdRule) -> None:
    taken = [fitted_call_id("call_1", rule)]
    while len(taken) < 20:
        taken.append(other_call_id("call_1", rule, taken))

    assert len(set(taken)) == 20
    assert [fitted_call_id(one, rule) for one in taken] == taken


def test_long_names_keep_a_readable_beginning_and_stay_apart() -> None:
    names = [f"mcp__github__{'search_' * 12}{i}" for i in range(200)]
    fitted = {fitted_name(name, 64) for name in names}

    assert len(fitted) == 200
    assert all(len(name) <= 64 and name.startswith("mcp__github__search_") for name in fitted)
    assert fitted_name("short", 64) == "short"
    assert len(fitted_name("a" * 20, 5)) <= 5
