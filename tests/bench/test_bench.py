"""The benchmark's own honesty: its canned data is what it claims to be, and its comparison knows noise from change. Nothing is timed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapter.hub.grammar import check_chat, check_responses
from tests.bench import compare, payloads, report, upstream
from tests.bench.load import Job, Run

CHECKS = {
    payloads.CHAT: lambda data: check_chat(data, include_usage=True),
    payloads.RESPONSES: check_responses,
}
DIALECTS = [payloads.CHAT, payloads.RESPONSES]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_canned_stream_is_grammatical_and_has_its_deltas(dialect: str) -> None:
    """What the upstream says is a right answer, so nobody is measured at mending."""
    data = b"".join(payloads.stream(dialect, 200))

    assert CHECKS[dialect](data) == []
    assert data.count(payloads.DELTA_MARKS[dialect]) == 200
    assert data.count(payloads.END_MARKS[dialect]) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("mode", ["burst", "paced"])
def test_every_mode_writes_the_same_stream(dialect: str, mode: str) -> None:
    """Modes differ in the cut only."""
    chunked = b"".join(upstream.writes(dialect, 40, mode)).partition(b"\r\n\r\n")[2]
    data = b""
    while chunked:
        size, _, chunked = chunked.partition(b"\r\n")
        data += chunked[: int(size, 16)]
        chunked = chunked[int(size, 16) + 2 :]

    assert b"".join(payloads.stream(dialect, 40)) == data


@pytest.mark.parametrize("dialect", DIALECTS)
def test_history_request_is_thirty_kilobytes_of_sixty_items_and_twelve_tools(dialect: str) -> None:
    """The size that the targets speak of."""
    data = payloads.request(dialect, "m", stream=False, history=payloads.KB30)
    body = orjson.loads(data)

    assert 28_000 < len(data) < 36_000
    assert 60 <= len(body["messages" if dialect == payloads.CHAT else "input"]) <= 62
    assert len(body["tools"]) == 12


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        (lambda data: data, ""),
        (lambda data: data.replace(b"data: [DONE]\n\n", b""), "the stream has no end"),
        (lambda data: data.replace(payloads.DELTA_MARKS["chat"], b'"content":"', 1), "199 deltas of 200"),
    ],
)
def test_load_generator_refuses_a_fast_wrong_answer(spoiled: Any, why: str) -> None:
    """Whole streams count, others are errors."""
    run = Run(Job(port=1, dialect="chat", model="stream-200-burst", requests=1, concurrency=1))
    data = b"".join(payloads.stream("chat", 200))

    assert run.wrong(200, spoiled(data)).startswith(why)
    assert bool(run.wrong(200, spoiled(data))) is bool(why)


def results(*cpu: float) -> report.JsonResults:
    """A result file in which the adapter took `cpu` and the pass-through 10, one sample a round."""

    def samples(values: tuple[float, ...]) -> dict[str, Any]:
        return {"plain c=1": [{"cpu": v, "rate": 1.0, "first_p50": 1.0, "first_p99": 1.0, "peak": 1.0} for v in values]}

    cases = {"passthrough chat→chat": samples((10.0,) * len(cpu)), "adapter responses→chat": samples(cpu)}
    return {"samples": cases, "idle": {}, "startup": {}, "rounds": len(cpu)}


def test_compare_is_silent_about_what_the_rounds_differ_by() -> None:
    """A shift inside the spread is noise."""
    assert compare.moves(results(12, 13, 14, 15, 16), results(12.5, 13.5, 14.5, 15.5, 16.5)) == []


def test_compare_reports_what_moved_beyond_the_spread() -> None:
    """A shift of a third with quiet rounds is a change."""
    (move,) = compare.moves(results(15, 15.1, 15.2, 15.1, 15), results(10, 10.1, 10.2, 10.1, 10))

    assert (move.case, move.metric) == ("adapter responses→chat", "cpu")
    assert pytest.approx(-0.33, abs=0.01) == move.change


def test_readme_table_names_its_command_and_its_rounds() -> None:
    """The table says how to make it again."""
    text = report.readme(results(12, 12, 12), "make bench")

    assert "`make bench`" in text
    assert "3 interleaved rounds" in text
    assert "| adapter, Responses → Chat |" in text
