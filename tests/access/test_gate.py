"""Admission: every way to carry a key, one answer to every wrong one, patience with nobody who guesses."""

from __future__ import annotations

import pytest

from adapter.access.caller import Caller
from adapter.access.gate import Guesses, KeyGate, network
from adapter.access.keys import Key, Keys, digest_of
from adapter.errors import HostileRequest, RateLimited, Unauthorized

SECRET = "ak-" + "s" * 40


def gate(now: list[float] | None = None) -> KeyGate:
    clock = now or [0.0]
    keys = Keys(
        [Key("laptop", digest_of(SECRET), "alice", ("codex",))], None, clock=lambda: 0, monotonic=lambda: clock[0]
    )
    return KeyGate(keys, lambda: clock[0])


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer " + SECRET.encode()},
        {b"authorization": b"bearer   " + SECRET.encode()},
        {b"authorization": SECRET.encode()},
        {b"x-api-key": SECRET.encode()},
        {b"x-api-key": SECRET.encode(), b"authorization": b"Bearer " + SECRET.encode()},
    ],
)
def test_every_way_to_carry_a_key(headers: dict[bytes, bytes]) -> None:
    assert gate().admit(headers, "") == Caller(tenant="alice", key_id="laptop", groups=("codex",))


def test_two_different_keys_are_refused_even_if_one_is_good() -> None:
    with pytest.raises(HostileRequest):
        gate().admit({b"authorization": b"Bearer " + SECRET.encode(), b"x-api-key": b"other"}, "")


@pytest.mark.parametrize("headers", [{}, {b"authorization": b"Bearer"}, {b"authorization": b" "}, {b"x-api-key": b"z"}])
def test_no_key_or_a_wrong_one_says_what_to_do(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Unauthorized) as refused:
        gate().admit(headers, "")
    assert "Authorization: Bearer" in refused.value.message
    assert set(refused.value.body()["error"]) == {"message", "type", "param", "code"}


def test_guesses_and_revoked_keys_get_the_same_answer() -> None:
    answers = set()
    for guess in (b"x", b"ak-" + b"t" * 40, SECRET[:-1].encode()):
        with pytest.raises(Unauthorized) as refused:
            gate().admit({b"x-api-key": guess}, "")
        answers.add(str(refused.value.body()))
    assert len(answers) == 1


def test_a_flood_of_guesses_waits_and_good_keys_from_the_same_address_do_not() -> None:
    now = [0.0]
    door = gate(now)
    outcomes = []
    for guess in range(30):
        with pytest.raises((Unauthorized, RateLimited)) as refused:
            door.admit({b"x-api-key": b"guess-%d" % guess}, "203.0.113.9")
        outcomes.append(type(refused.value))
    assert outcomes == [Unauthorized] * 20 + [RateLimited] * 10
    assert door.admit({b"x-api-key": SECRET.encode()}, "203.0.113.9").tenant == "alice"
    with pytest.raises(Unauthorized):
        door.admit({b"x-api-key": b"guess"}, "203.0.113.10")
    now[0] += 10
    with pytest.raises(Unauthorized):
        door.admit({b"x-api-key": b"guess"}, "203.0.113.9")


def test_the_addresses_remembered_are_bounded() -> None:
    guesses = Guesses(lambda: 0.0)
    for number in range(12_000):
        guesses.wrong(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(guesses._levels) == 10_000


def test_one_guesser_is_an_ipv4_address_or_a_64_of_ipv6() -> None:
    assert network("2001:db8:1:2::1") == network("2001:db8:1:2:ffff::9") != network("2001:db8:1:3::1")
    assert network("::ffff:10.0.0.1") == network("10.0.0.1") != network("10.0.0.2")
    assert network("") == ""
