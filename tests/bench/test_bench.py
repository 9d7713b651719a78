"""The benchmark's own honesty: its canned data is what it claims to be, and its comparison knows noise from change. Nothing is timed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapter.hub.grammar import check_chat, check_responses
from tests.bench import candidates, compare, micro, payloads, plot, report, targets, upstream, witness, works
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


def results(*cpu: float, **more: Any) -> report.JsonResults:
    """A result file in which the adapter took `cpu` and the pass-through 10, one sample a round."""

    def samples(values: tuple[float, ...]) -> dict[str, Any]:
        return {"plain c=1": [{"cpu": v, "rate": 1.0, "first_p50": 1.0, "first_p99": 1.0, "peak": 1.0} for v in values]}

    cases = {"passthrough chat→chat": samples((10.0,) * len(cpu)), "adapter responses→chat": samples(cpu)}
    return {"samples": cases, "rounds": len(cpu), "cores": 2, **more}


def fresh(**numbers: float) -> dict[str, float]:
    """One fresh process, of which only `numbers` matter."""
    return dict.fromkeys(report.FRESH, 1.0) | numbers


def test_compare_is_silent_about_what_the_rounds_differ_by() -> None:
    """A shift inside the spread is noise."""
    assert compare.moves(results(12, 13, 14, 15, 16), results(12.5, 13.5, 14.5, 15.5, 16.5)) == []


def test_compare_reports_what_moved_beyond_the_spread() -> None:
    """A shift of a third with quiet rounds is a change."""
    (move,) = compare.moves(results(15, 15.1, 15.2, 15.1, 15), results(10, 10.1, 10.2, 10.1, 10))

    assert (move.case, move.metric) == ("adapter responses→chat", "cpu")
    assert pytest.approx(-0.33, abs=0.01) == move.change


def test_compare_reports_a_count_that_moved_by_more_than_two_percent() -> None:
    """Instructions know no noise."""
    before = results(1, instructions={"plain chat→chat": 1000.0, "burst chat→chat": 1000.0})
    after = results(1, instructions={"plain chat→chat": 970.0, "burst chat→chat": 985.0, "new": 1.0})

    (move,) = compare.moves(before, after)

    assert (move.workload, move.metric, move.after) == ("plain chat→chat", "instructions", 970.0)


def test_compare_reports_a_start_that_became_slower() -> None:
    """Fresh processes count as ratios to the pass-through as well."""

    def started(adapter: float) -> report.JsonResults:
        each = {"passthrough chat→chat": [fresh(answered=100.0)] * 5}
        return results(1, fresh={**each, "adapter responses→chat": [fresh(answered=adapter)] * 5})

    (move,) = compare.moves(started(150.0), started(200.0))

    assert (move.workload, move.metric, move.before, move.after) == ("fresh process", "answered", 1.5, 2.0)


def test_compare_reads_what_the_witness_wrote() -> None:
    """Two commits are compared without a run of the servers."""
    before, after = (witness.as_json([witness.Count("burst chat→chat", count, None)]) for count in (100.0, 90.0))

    assert [move.change for move in compare.moves(before, after)] == [pytest.approx(-0.1)]


def test_witness_counts_per_unit_and_against_the_yardstick() -> None:
    """The total of a dump is that of all repetitions."""
    done = [
        {"name": "burst pass-through chat", "times": 2, "units": 200, "bare": None},
        {"name": "burst chat→chat", "times": 4, "units": 200, "bare": "burst pass-through chat"},
    ]
    dumps = ["version: 1\nevents: Ir\nsummary: 1\n\n\ntotals: 400000\n", "events: Ir\ntotals: 1200000\n"]

    assert witness.read(done, dumps) == [
        witness.Count("burst pass-through chat", 1000.0, None),
        witness.Count("burst chat→chat", 1500.0, 1.5),
    ]


def test_witness_refuses_a_dump_without_a_total() -> None:
    """A count that is not there is no count of zero."""
    with pytest.raises(RuntimeError, match="counted nothing for a"):
        witness.read([{"name": "a", "times": 1, "units": 1, "bare": None}], ["events: Ir\n"])


def test_micro_reads_the_least_per_unit() -> None:
    """Microseconds, as the other numbers."""
    entry = {"name": "stream 200 raw chat", "stats": {"min": 0.0004, "max": 1.0}, "extra_info": {"units": 200}}

    assert micro.read({"benchmarks": [entry]}) == {"stream 200 raw chat": pytest.approx(2.0)}


def test_every_work_does_what_it_says() -> None:
    """Whole requests check their answers; the others would raise."""
    with works.opened() as everything:
        names = [work.name for work in everything]
        for work in everything:
            work.run(1)

    assert len(names) == len(set(names))
    assert {work.bare for work in everything} - {None} <= set(names)


def test_works_are_chosen_with_their_yardsticks() -> None:
    """One word is enough to see a ratio."""
    with works.opened("plain chat→responses") as chosen:
        names = [work.name for work in chosen]

    assert names == ["plain pass-through responses", "plain chat→responses"]


def test_targets_are_bold_where_they_are_missed() -> None:
    """One row a target that was measured, one column a direction."""
    text = targets.written(
        results(12, 13, 14, micro={"request 30 kB responses→chat": 3.0, "reparse 30 kB request responses": 1.0})
    )

    assert "| plain request, c=1 | 1.30× | – | – | 1.30× | – |" in text
    assert "| 30 kB request, to loads + dumps | 1.90× | – | – | **3.00×** | – |" in text
    assert "c=32" not in text


def test_same_dialect_has_its_own_limit() -> None:
    """A raw stream is held to less."""
    (burst,) = (target for target in targets.TARGETS if target.title == "delta in bursts, c=1")

    assert [burst.limit(way) for way in targets.WAYS] == [1.15, 1.15, 1.5, 1.5]


@pytest.mark.parametrize(("large", "ratio"), [(10_000.0, 1.0), (20_000.0, 2.0)])
def test_linear_compares_what_a_kilobyte_costs(large: float, ratio: float) -> None:
    """What every request costs alike is left out."""
    sizes = [len(payloads.request("responses", "plain", stream=False, history=n)) for n in targets.HISTORIES.values()]
    costs = [5.0, 5.0 + (sizes[1] - sizes[0]) * 1e-3, 0.0]
    costs[2] = costs[1] + (sizes[2] - sizes[1]) * 1e-3 * ratio
    samples = {name: [{"cpu": cost}] for name, cost in zip(targets.HISTORIES, costs, strict=True)}

    assert targets.linear({"samples": {"adapter responses→chat": samples}}, "adapter responses→chat") == [
        pytest.approx(ratio)
    ]


def test_plot_has_the_median_and_the_spread_of_both_directions() -> None:
    """A point is a series in a row."""
    (row,) = (target for target in plot.ROWS if target.title == "plain request, c=1")
    translating = plot.SERIES[0]

    assert plot.points(results(12, 15, 14), [row], translating) == [plot.Point(0, 1.4, 1.2, 1.5)]


def test_all_tables_of_a_run_are_written() -> None:
    """Also of a run that left much out."""
    run = results(
        12, 12, fresh={"passthrough chat→chat": [fresh(answered=80.0)]}, scaling=results(3), absent={"nginx": "why"}
    )
    text = report.full(
        {**run, "micro": {"reply chat→responses": 3.0}, "instructions": {"reply chat→responses": 1234.0}}
    )

    assert "| passthrough chat→chat | 1 | 80 | 1 | 1 | 1 | 1 | 1 |" in text
    assert "| reply chat→responses | 3.00 | 1,234 |" in text
    assert "shares the 2 cores" in text
    assert "absent: nginx: why" in text


def test_a_server_has_its_port_in_its_command_and_its_configuration(tmp_path: Path) -> None:
    """Programs with a file of their own get one for each process."""
    script = "import http.server, sys; http.server.HTTPServer(('127.0.0.1', int(open(sys.argv[1]).read())), None).serve_forever()"
    server = candidates.Server("one", (), (sys.executable, "-c", script, "{config}"), tmp_path, "{port}")

    process = server.start()
    try:
        assert process.listens
        assert (tmp_path / f"one-{process.port}.conf").read_text() == str(process.port)
    finally:
        process.stop()


def test_readme_table_names_its_command_and_its_rounds() -> None:
    """The table says how to make it again."""
    text = report.readme(results(12, 12, 12), "make bench")

    assert "`make bench`" in text
    assert "3 interleaved rounds" in text
    assert "| adapter, Responses → Chat |" in text
