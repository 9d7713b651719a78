"""Sticky sessions: the same conversation to the same target, and only a dead target's sessions move."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.upstream.affinity import ordered, session
from tests.bench import affinity as pool


@dataclass(frozen=True)
class At:
    rank_name: str
    weight: float = 1
    priority: int = 0


POOL = [At(f"t{number}") for number in range(8)]
SESSIONS = [f"s{number}".encode() for number in range(2000)]


@given(st.binary(max_size=40), st.permutations(POOL))
def test_the_order_of_the_configuration_does_not_matter(name: bytes, pool: list[At]) -> None:
    assert ordered(name, pool) == ordered(name, POOL)


@given(st.binary(max_size=40), st.sampled_from(POOL))
def test_a_dead_target_moves_only_its_own_sessions(name: bytes, dead: At) -> None:
    alive = [target for target in POOL if target is not dead]
    assert ordered(name, alive) == [target for target in ordered(name, POOL) if target is not dead]


def test_sessions_spread_evenly_also_those_of_a_dead_target() -> None:
    first = Counter(ordered(name, POOL)[0].rank_name for name in SESSIONS)
    assert all(190 <= count <= 310 for count in first.values())
    moved = Counter(ordered(n, POOL)[1].rank_name for n in SESSIONS if ordered(n, POOL)[0] is POOL[0])
    assert len(moved) == 7
    assert max(moved.values()) < sum(moved.values()) / 2


def test_weights_are_shares() -> None:
    pool = [At("a", 1), At("b", 3)]
    share = sum(ordered(name, pool)[0].rank_name == "b" for name in SESSIONS) / len(SESSIONS)
    assert 0.70 < share < 0.80


def test_a_lower_priority_goes_before_any_weight() -> None:
    pool = [At("backup", 1000, 1), At("a", 0.001), At("b", 0.001)]
    assert all(ordered(name, pool)[2].rank_name == "backup" for name in SESSIONS)


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ({"prompt_cache_key": "k", "user": "u"}, {b"session-id": b"s"}, b"kk"),
        ({"user": "u"}, {b"session-id": b"s"}, b"ss"),
        ({"user": "u"}, {b"session_id": b"s"}, b"ss"),
        ({"conversation": {"id": "conv_1"}, "previous_response_id": "r", "user": "u"}, {}, b"cconv_1"),
        ({"conversation": "conv_1"}, {}, b"cconv_1"),
        ({"previous_response_id": "resp_1", "user": "u"}, {}, b"cresp_1"),
        ({"safety_identifier": "x", "user": "u"}, {}, b"ux"),
        ({"user": "u"}, {}, b"uu"),
        ({"user": 3, "prompt_cache_key": ""}, {}, b""),
        ({"previous_response_id": "", "user": ""}, {}, b""),
        ({}, {}, b""),
    ],
)
def test_the_best_evidence_of_a_session(body: dict[str, Any], headers: dict[bytes, bytes], expected: bytes) -> None:
    assert session(body, headers) == expected


def message(role: str, text: Any) -> dict[str, Any]:
    return {"role": role, "content": text}


def test_every_turn_of_a_conversation_without_a_name_is_the_same_session() -> None:
    opening = [message("system", "Be brief"), message("user", [{"type": "text", "text": "Hi"}])]
    first = session({"messages": opening}, {})
    assert first[:1] == b"o"
    assert session({"messages": [*opening, message("assistant", "Yes"), message("user", "More")]}, {}) == first
    assert session({"messages": [opening[0], message("user", "Other")]}, {}) != first
    assert session({"messages": [message("system", "Be long"), opening[1]]}, {}) != first
    assert session({"instructions": "I", "input": "Hi"}, {}) != session({"instructions": "I", "input": "Ho"}, {})
    assert session({"instructions": "I", "input": "Hi"}, {}) != session({"instructions": "J", "input": "Hi"}, {})
    assert session({"messages": [], "input": opening}, {}) == first  # Cursor's


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_any_json_has_a_session(value: Any) -> None:
    for key in ("messages", "input", "instructions", "conversation", "user", "prompt_cache_key"):
        assert isinstance(session({key: value}, {}), bytes)
        assert isinstance(session({"input": [{"role": "user", "content": value}]}, {}), bytes)


def test_prompt_caches_keep_hitting_while_targets_die_and_return() -> None:
    rough = {
        name: pool.hit_rate(choose, failures=True)
        for name, choose in (("sticky", pool.sticky), ("modulo", pool.modulo), ("round robin", pool.round_robin()))
    }
    assert rough["sticky"] > pool.hit_rate(pool.sticky, failures=False) - 0.06
    assert rough["sticky"] > rough["modulo"] + 0.1 > rough["round robin"] + 0.5
