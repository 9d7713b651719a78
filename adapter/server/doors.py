"""What stands between callers and the pipeline: the gate, the groups, the meter; and the metrics that count them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapter.access.caller import Gate, OpenGate
from adapter.access.gate import KeyGate
from adapter.access.groups import Access
from adapter.access.keys import KeyFile, Keys
from adapter.access.ledger import Ledger, Memory
from adapter.access.meter import Meter
from adapter.access.sections import configured_keys
from adapter.access.shared import Shared
from adapter.sections import Settings
from adapter.server.tasks import Tasks
from adapter.telemetry.log import log

if TYPE_CHECKING:
    from adapter.telemetry.metrics import Listener, Meters


@dataclass(slots=True, kw_only=True)
class Doors:
    """Of one process, whatever its configuration says of keys."""

    tasks: Tasks
    meter: Meter
    meters: Meters | None = None
    listener: Listener | None = None

    @classmethod
    def of(cls, settings: Settings, tasks: Tasks) -> Doors:
        """As configured.

        Raises:
            ConfigError: the metrics' address cannot be had.
        """
        meters, listener = _metrics(settings)
        url = settings.limits.url
        ledger: Ledger = Memory() if url is None else Shared(url, tasks)
        allows = settings.limits.unavailable == "allow"

        def unavailable() -> bool:
            log.error("limits_unavailable", passing=allows)
            if meters is not None:
                meters.limits_unavailable.inc()
            return allows

        return cls(tasks=tasks, meter=Meter(ledger, tasks, unavailable=unavailable), meters=meters, listener=listener)

    def start(self) -> None:
        """Inside the running loop."""
        if self.meters is not None:
            self.tasks.start(self.meters.watch_loop())

    async def close(self) -> None:
        """Let go of everything; no turn runs any more."""
        await self.meter.close()
        if self.listener is not None:
            self.listener.close()


def gate(settings: Settings) -> Gate:
    """Who is let in; without keys everybody.

    Raises:
        ConfigError: the keys cannot be read.
    """
    if not settings.keyed:
        return OpenGate()
    keys = Keys(
        configured_keys(settings.keys),
        None if settings.keys_file is None else KeyFile(settings.keys_file),
        clock=time.time,
        monotonic=time.monotonic,
        refused=lambda why: log.error("keys_unreadable", why=why),
    )
    return KeyGate(keys, time.monotonic)


def access(settings: Settings) -> Access | None:
    """What those may reach who are let in; None: everything."""
    if not settings.keyed:
        return None
    return Access(
        settings.access_groups,
        [upstream.name for upstream in settings.upstreams],
        {section.id: section.limits for section in settings.keys},
    )


def _metrics(settings: Settings) -> tuple[Meters | None, Listener | None]:
    """Counted where somebody looks; of several workers the parent is who listens."""
    wanted = settings.metrics
    if wanted.port is None:
        return None, None
    from prometheus_client import CollectorRegistry

    from adapter.telemetry.metrics import Listener, Meters

    registry = CollectorRegistry()
    alone = settings.server.workers == 1
    return Meters(registry), Listener(registry, wanted.host, wanted.port) if alone else None
