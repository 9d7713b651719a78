"""`--workers 1` and `2` side by side: whether a second worker adds what a second core has.

The load generator and the upstream run on the same machine. With two cores they take what the second worker would, and
the rate cannot double; what a request costs in CPU time is the number that still tells: it must not grow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.bench.candidates import Field, adapter, started
from tests.bench.payloads import CHAT, RESPONSES
from tests.bench.rounds import WORKLOADS, Load
from tests.bench.rounds import run as rounds_of

WORKERS: Final = (1, 2)
_TAKEN: Final = frozenset({"plain c=256", "burst c=256"})
"""Many connections: the kernel shares them out between the workers by chance."""


def run(load: Load, field: Field, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """As `rounds.run`, over a Chat upstream with Responses clients; the candidate is named by its workers."""
    servers = [
        adapter(field.origin, CHAT, field.folder, "--workers", str(count), candidate=f"workers={count}")
        for count in WORKERS
    ]
    workloads = [workload for workload in WORKLOADS if workload.name in _TAKEN]
    with started(servers, field.absent) as cases:
        crossing = [case for case in cases if case.client == RESPONSES]
        return rounds_of(load, crossing, workloads, rounds, say).as_json()
