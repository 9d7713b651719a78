"""Prometheus metrics, on a listener of their own.

Labels come from the configuration and from our own vocabulary, never from a request: a client cannot make a new series.
With several workers each counts in files of one directory and the parent, which serves no requests, sums them up.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from adapter.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_SHORT: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
_LAG_EVERY: Final = 0.5
_WORD: Final = re.compile(r"[a-z][a-z0-9_.]{0,47}\Z")
_MOST_WORDS: Final = 200
"""Kinds of losses and anomalies that get a series; ours are fewer."""
_COLLECTOR: Final[Any] = MultiProcessCollector
"""Without types in the library."""
_OF_A_PROCESS: Final = re.compile(r"gauge_live[a-z]*_(\d+)\.db\Z")


class Meters:
    """All metrics of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, says: str, *labels: str) -> Counter:
            return Counter(name, says, labels, registry=registry)

        def histogram(name: str, says: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, says, labels, buckets=buckets, registry=registry)

        self.requests = counter("adapter_requests_total", "Requests, by how they ended.", "surface", "route", "outcome")
        self.duration = histogram("adapter_request_duration_seconds", "From head to end.", _SECONDS, "surface")
        self.overhead = histogram(
            "adapter_overhead_seconds", "From the whole request to the upstream call.", _SHORT, "surface"
        )
        self.first_event = histogram(
            "adapter_time_to_first_event_seconds", "From the upstream call to its first event.", _SECONDS, "route"
        )
        self.inflight = Gauge(
            "adapter_inflight", "Requests in progress.", registry=registry, multiprocess_mode="livesum"
        )
        self.stream_events = counter("adapter_stream_events_total", "Events written into streams.", "surface")
        self.attempts = counter("adapter_upstream_attempts_total", "Attempts at upstreams.", "upstream", "outcome")
        self.anomalies = counter(
            "adapter_upstream_anomalies_total", "What upstreams said wrong and was mended.", "kind"
        )
        self.losses = counter("adapter_conversion_losses_total", "What could not be carried.", "kind")
        self.tokens = counter("adapter_tokens_total", "Tokens, as reported or estimated.", "kind")
        self.limited = counter("adapter_limited_total", "Requests refused by a limit of this server.", "kind")
        self.limits_unavailable = counter("adapter_limits_unavailable_total", "The store of limits did not answer.")
        self.stored = counter(
            "adapter_stored_total", "Answers that were to be stored, by what became of it.", "outcome"
        )
        self.reload_failures = reload_failures(registry)
        self.store = histogram("adapter_store_seconds", "Operations of the store.", _SHORT, "operation")
        self.lag = histogram("adapter_loop_lag_seconds", "How late the event loop is.", _SHORT)
        self._words: set[str] = set()

    def word(self, kind: str) -> str:
        """A label for one of our own words."""
        if kind in self._words:
            return kind
        if len(self._words) >= _MOST_WORDS or _WORD.match(kind) is None:
            return "other"
        self._words.add(kind)
        return kind

    def stored_in(self, operation: str, seconds: float) -> None:
        """One operation of the store."""
        self.store.labels(operation).observe(seconds)

    def used(self, usage: dict[str, Any]) -> None:
        """Tokens of one answer."""
        for kind, amount in (
            ("input", usage["input_tokens"]),
            ("output", usage["output_tokens"]),
            ("cached", usage["input_tokens_details"]["cached_tokens"]),
            ("reasoning", usage["output_tokens_details"]["reasoning_tokens"]),
        ):
            if amount:
                self.tokens.labels(kind).inc(amount)

    async def watch_loop(self) -> None:
        """Measure the lag of the loop for as long as it runs."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LAG_EVERY
            await asyncio.sleep(_LAG_EVERY)
            self.lag.observe(max(loop.time() - due, 0))


def reload_failures(registry: CollectorRegistry) -> Counter:
    """Counted by who reads the configuration: of several workers that is their parent."""
    return Counter("adapter_reload_failures_total", "Configurations that were not taken.", registry=registry)


class Listener:
    """Serves what was counted."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int, directory: Path | None = None) -> None:
        """Listens at once.

        Raises:
            ConfigError: the address cannot be had.
        """
        self._directory = directory
        try:
            served: tuple[WSGIServer, Thread] = start_http_server(port, host, registry)
        except OSError as refused:
            self._leave_nothing()
            raise ConfigError(f"metrics.port: cannot listen on {host}:{port} ({refused.strerror})") from None
        self._server, self._thread = served
        self._server.set_app(_at_their_path(self._server.get_app()))
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stop, and leave nothing behind."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._leave_nothing()

    def _leave_nothing(self) -> None:
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


def _at_their_path(metrics: Any) -> Any:
    """What tells metrics at every path, told nowhere else: a probe of another path is not to be content with them."""

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/metrics":
            return metrics(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"This port has /metrics only.\n"]

    return application


class Summed(Collector):
    """What all workers counted; gauges of those that live."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._workers = _COLLECTOR(CollectorRegistry(), str(directory))

    def collect(self) -> Iterable[Metric]:
        for file in self._directory.glob("gauge_live*.db"):
            found = _OF_A_PROCESS.match(file.name)
            if found is not None and not _lives(int(found[1])):
                file.unlink(missing_ok=True)
        summed: Iterable[Metric] = self._workers.collect()
        return summed


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def parent_of_workers(host: str, port: int, directory: Path) -> Listener:
    """For the process that starts workers, before it does: they count in the directory, which goes with the listener.

    Raises:
        ConfigError: the address cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(Summed(directory))
    return Listener(registry, host, port, directory)
