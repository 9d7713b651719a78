"""What stored state costs: `python -m tests.bench.store` prints a table; it is no test.

Turns of about 2 kB (one question, one answer). "alone" is one client after the other, "together" 16 at once. The chain's
columns show that a turn costs the same at any depth, and what reading a whole chain costs.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import tempfile
import time
from typing import Any

from adapter.store.store import Store
from tests.store.postgres import Server, binaries

TURNS = 200
CLIENTS = 16
TEXT = "words " * 160


def _turn(name: str, previous: str | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    part = {"type": "output_text", "text": TEXT, "annotations": []}
    answer = {"id": f"msg_{name}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    reply = {
        "id": f"resp_{name}",
        "object": "response",
        "created_at": 1_800_000_000,
        "status": "completed",
        "model": "small",
        "output": [answer],
        "previous_response_id": previous,
        "tools": [],
        "usage": {"input_tokens": 100, "output_tokens": 200, "total_tokens": 300},
    }
    return reply, [{"type": "message", "role": "user", "content": f"{name} {TEXT}"}]


async def _chain(store: Store, name: str, turns: int) -> list[float]:
    """Seconds that each turn of a chain took to store."""
    took = []
    previous = None
    for number in range(turns):
        reply, asked = _turn(f"{name}_{number}", previous)
        began = time.perf_counter()
        await store.save_response("t", reply, input=asked)
        took.append(time.perf_counter() - began)
        previous = reply["id"]
    return took


async def _measure(url: str) -> dict[str, str]:
    store = Store(url)
    await store.open()
    await _chain(store, "warm", 20)

    cpu = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    took = await _chain(store, "chain", TURNS)
    alone = TURNS / (time.perf_counter() - began)
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = (used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime) / TURNS

    began = time.perf_counter()
    await asyncio.gather(*(_chain(store, f"many_{n}", TURNS // 4) for n in range(CLIENTS)))
    together = CLIENTS * (TURNS // 4) / (time.perf_counter() - began)

    reads = []
    for _ in range(20):
        began = time.perf_counter()
        history = await store.resolve("t", f"resp_chain_{TURNS - 1}")
        reads.append(time.perf_counter() - began)
        assert history is not None
        assert len(history) == 2 * TURNS
    gets = []
    for number in range(TURNS):
        began = time.perf_counter()
        await store.response("t", f"resp_chain_{number}")
        gets.append(time.perf_counter() - began)
    stats = await store.stats()
    await store.close()
    return {
        "turns/s alone": f"{alone:.0f}",
        "turns/s together": f"{together:.0f}",
        "cpu ms/turn": f"{spent * 1e3:.2f}",
        "turn 1-50 ms": f"{statistics.median(took[:50]) * 1e3:.2f}",
        "turn 151-200 ms": f"{statistics.median(took[-50:]) * 1e3:.2f}",
        "read chain ms": f"{statistics.median(reads) * 1e3:.2f}",
        "GET ms": f"{statistics.median(gets) * 1e3:.2f}",
        "bytes/turn": f"{stats.bytes / stats.rows['responses']:.0f}",
    }


def main() -> None:
    """Both back-ends, side by side; PostgreSQL only where its server is installed."""
    results = {}
    with tempfile.TemporaryDirectory(prefix="adapter-bench-") as directory:
        results["sqlite"] = asyncio.run(_measure(f"sqlite:///{directory}/store.db"))
    found = binaries()
    if found is None:
        print("PostgreSQL: no server binaries here, left out")
    else:
        server = Server(found, fsync=True)
        try:
            results["postgres"] = asyncio.run(_measure(server.url(server.new_database())))
        finally:
            server.close()
    width = max(len(name) for name in results["sqlite"])
    print(" " * width, *(f"{backend:>10}" for backend in results))
    for name in results["sqlite"]:
        print(f"{name:<{width}}", *(f"{values[name]:>10}" for values in results.values()))


if __name__ == "__main__":
    main()
