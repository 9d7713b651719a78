"""Metrics: bounded labels, and right with several workers, also after one died."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from adapter.errors import ConfigError
from adapter.server.doors import Doors
from adapter.server.tasks import Tasks
from adapter.telemetry import metrics
from adapter.telemetry.metrics import Listener, Meters, parent_of_workers
from tests.configuring import loaded

WORKER = """
import os, signal
from prometheus_client import CollectorRegistry
from adapter.telemetry.metrics import Meters
meters = Meters(CollectorRegistry())
meters.requests.labels("chat", "main", "ok").inc(3)
meters.duration.labels("chat").observe(0.2)
meters.inflight.inc(2)
print("ready", flush=True)
input()
"""


def scraped(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


async def test_who_lets_go_of_the_doors_listens_no_more() -> None:
    doors = Doors.of(loaded(metrics={"port": 0}), Tasks())
    assert doors.listener is not None
    address = ("127.0.0.1", doors.listener.port)
    socket.create_connection(address).close()

    await doors.close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_workers_are_summed_and_a_dead_one_has_nothing_in_flight(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    directory = tmp_path / "counted"
    directory.mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(directory))
    listener = parent_of_workers("127.0.0.1", 0, directory)
    try:
        workers = [
            subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(3)
        ]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        found = scraped(listener.port)
        assert found['adapter_requests_total{outcome="ok",route="main",surface="chat"}'] == 9
        assert found['adapter_request_duration_seconds_count{surface="chat"}'] == 3
        assert found["adapter_inflight"] == 6
        workers[0].kill()
        workers[0].wait(10)
        found = scraped(listener.port)
        assert found["adapter_inflight"] == 4
        assert found['adapter_requests_total{outcome="ok",route="main",surface="chat"}'] == 9
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
        listener.close()
    assert not directory.exists()


def test_the_port_of_metrics_has_nothing_else() -> None:
    """A probe that asks there for readiness would be told that all is well, always."""
    listener = Listener(CollectorRegistry(), "127.0.0.1", 0)
    try:
        assert scraped(listener.port) == {}
        for path in ("/readyz", "/", "/favicon.ico", "/v1/models", "/metrics/x"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"http://127.0.0.1:{listener.port}{path}", timeout=5)
            assert refused.value.code == 404
            refused.value.close()
    finally:
        listener.close()


def test_a_port_that_is_taken_is_a_configuration_error() -> None:
    registry = CollectorRegistry()
    listener = Listener(registry, "127.0.0.1", 0)
    try:
        with pytest.raises(ConfigError, match=r"metrics\.port"):
            Listener(registry, "127.0.0.1", listener.port)
    finally:
        listener.close()


def test_a_port_that_is_taken_leaves_no_directory_of_workers(tmp_path: Path) -> None:
    directory = tmp_path / "counted"
    directory.mkdir()
    listener = Listener(CollectorRegistry(), "127.0.0.1", 0)
    try:
        with pytest.raises(ConfigError, match=r"metrics\.port"):
            parent_of_workers("127.0.0.1", listener.port, directory)
    finally:
        listener.close()
    assert not directory.exists()


def test_words_that_are_not_ours_make_no_series() -> None:
    meters = Meters(CollectorRegistry())
    assert [meters.word(word) for word in ("usage_estimated", "x\ny", "Ünï", "a" * 60)] == ["usage_estimated"] + [
        "other"
    ] * 3
    words = {meters.word(f"kind{number}") for number in range(1000)}
    assert len(words) == metrics._MOST_WORDS


def test_tokens_are_counted_by_kind() -> None:
    registry = CollectorRegistry()
    Meters(registry).used(
        {
            "input_tokens": 5,
            "input_tokens_details": {"cached_tokens": 3},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 0},
        }
    )
    text = generate_latest(registry).decode()
    for line in ('{kind="input"} 5.0', '{kind="cached"} 3.0', '{kind="output"} 7.0'):
        assert f"adapter_tokens_total{line}" in text
    assert "reasoning" not in text.split("adapter_tokens_total", 1)[1].split("# HELP")[0]


def test_the_names_are_those_that_operators_built_on() -> None:
    registry = CollectorRegistry()
    Meters(registry)

    assert {(metric.name, metric.type) for metric in registry.collect()} == {
        ("adapter_requests", "counter"),
        ("adapter_reload_failures", "counter"),
        ("adapter_request_duration_seconds", "histogram"),
        ("adapter_overhead_seconds", "histogram"),
        ("adapter_time_to_first_event_seconds", "histogram"),
        ("adapter_inflight", "gauge"),
        ("adapter_stream_events", "counter"),
        ("adapter_upstream_attempts", "counter"),
        ("adapter_upstream_anomalies", "counter"),
        ("adapter_conversion_losses", "counter"),
        ("adapter_tokens", "counter"),
        ("adapter_limited", "counter"),
        ("adapter_limits_unavailable", "counter"),
        ("adapter_stored", "counter"),
        ("adapter_store_seconds", "histogram"),
        ("adapter_loop_lag_seconds", "histogram"),
    }


def test_all_kinds_of_tokens_are_counted() -> None:
    registry = CollectorRegistry()
    Meters(registry).used(
        {
            "input_tokens": 7,
            "output_tokens": 5,
            "input_tokens_details": {"cached_tokens": 3},
            "output_tokens_details": {"reasoning_tokens": 2},
        }
    )

    told = [registry.get_sample_value("adapter_tokens_total", {"kind": kind}) for kind in ("input", "output")]
    parts = [registry.get_sample_value("adapter_tokens_total", {"kind": kind}) for kind in ("cached", "reasoning")]
    assert (told, parts) == ([7, 5], [3, 2])
