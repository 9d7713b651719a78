"""The raw lane of Chat with several choices: each has its finish, or there is no success."""

from __future__ import annotations

from adapter.conform.laws import data_of
from adapter.dialects.raw import RawStream
from adapter.dialects.registry import DIALECTS
from adapter.hub.request import Exchange
from adapter.wire.jsonio import loads
from tests.dialects.test_raw import DONE, called, chunk


def of_choice(index: int, finish: str = "null") -> bytes:
    return chunk("{}", finish).replace(b'"index":0', b'"index":%d' % index)


def text_of_choice(index: int) -> bytes:
    return chunk('{"content":"x"}').replace(b'"index":0', b'"index":%d' % index)


def raw_choices(n: int) -> RawStream:
    exchange = Exchange.unasked("chat")
    exchange.request.body["n"] = n
    return DIALECTS["chat"].raw_stream(exchange)


def inferred(out: bytes) -> list[int]:
    """The choices to which the chunk before `[DONE]` gives a finish."""
    *_, last, done = data_of(out)
    assert done == b"[DONE]"
    return [choice["index"] for choice in loads(last)["choices"] if choice["finish_reason"] == "stop"]


def test_done_gives_a_finish_to_the_choices_that_have_none() -> None:
    """To each that has begun: of what the others said nobody knows that it is whole, and not every server heeds `n`."""
    begun = of_choice(0) + of_choice(1)

    assert inferred(raw_choices(2).feed(begun + DONE)) == [0, 1]
    assert inferred(raw_choices(3).feed(begun + DONE)) == [0, 1]
    assert inferred(raw_choices(2).feed(begun + of_choice(1, '"stop"') + DONE)) == [0]
    assert inferred(raw_choices(1).feed(of_choice(1) + DONE)) == [1]
    assert raw_choices(2).feed(ignored := of_choice(0) + of_choice(0, '"stop"') + DONE) == ignored


def test_choices_that_begin_in_any_read_are_seen() -> None:
    stream = raw_choices(2)
    reads = [of_choice(0), text_of_choice(0) * 3, text_of_choice(0), text_of_choice(1), of_choice(0, '"stop"'), DONE]

    out = b"".join(map(stream.feed, reads))

    assert inferred(out) == [1]
    assert [anomaly.kind for anomaly in stream.anomalies] == ["finish_inferred"]
    assert stream.answer.status == "completed"


def test_done_amid_the_arguments_of_one_choice_of_several_is_a_failure() -> None:
    stream = raw_choices(2)
    half = called('{"a":').replace(b'"index":0,"delta"', b'"index":1,"delta"')

    out = stream.feed(of_choice(0) + of_choice(0, '"stop"') + half + DONE)

    assert b"upstream_truncated" in out
    assert DONE not in out


def test_of_several_choices_all_must_finish() -> None:
    """What breaks off while one of them still speaks is no complete answer, and nobody hurries it."""
    said = of_choice(0) + of_choice(1) + of_choice(0, '"stop"')
    broken, whole = raw_choices(2), raw_choices(2)

    assert broken.feed(said) == said
    assert not broken.settling
    assert b"upstream_truncated" in broken.close()
    assert whole.feed(said + of_choice(1, '"length"')).startswith(said)
    assert whole.settling
    assert whole.close() == DONE
