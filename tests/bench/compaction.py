"""What compacting long histories costs: `python -m tests.bench.compaction` prints a table; it is no test.

One call of `/v1/responses/compact` over a Chat upstream that answers at once, for histories that are mostly tool output in
ASCII, as agents have them. "memory" is what the adapter's own process grew by at its peak, against the size of the body;
"pieces" is the same with a context window of 128 000 tokens, "wide" without a known one.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import orjson

from adapter.conform.compactors import CompactPeer

MIB: Final = 1024 * 1024
SIZES: Final = (1, 10, 30)
WINDOWS: Final[dict[str, int | None]] = {"pieces": 128_000, "wide": None}
_LINE: Final = "src/module_%d.py:%d: note: a line as tools print them, with FACT-%d in it\n"


def history(size: int) -> list[dict[str, Any]]:
    """About `size` bytes of one user message after the other, each with a few tool calls."""
    items: list[dict[str, Any]] = []
    made = number = 0
    while made < size:
        if number % 8 == 0:
            items.append({"type": "message", "role": "user", "content": f"Now do step {number}, please."})
        call = {
            "type": "function_call",
            "call_id": f"call_{number}",
            "name": "shell",
            "arguments": '{"command":"make"}',
        }
        text = "".join(_LINE % (number, line, number % 50) for line in range(400))
        items += [call, {"type": "function_call_output", "call_id": f"call_{number}", "output": text}]
        made += len(text)
        number += 1
    return items


def _peak() -> int:
    """The most memory this process has had, from Linux itself: what `getrusage` says begins with the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this benchmark reads /proc/self/status")


def _serve(upstream: str, window: int | None, wire: Connection) -> None:
    """The adapter in a process of its own; says its port, and at the end what it used."""
    from tests.server.harness import adapter
    from tests.server.harness import upstream as section

    async def run() -> None:
        keys: dict[str, Any] = {} if window is None else {"window": window}
        async with adapter(section(upstream, "chat", compact="none", **keys), access_log=False) as client:
            await client.post("/v1/responses/compact", {"model": "m", "input": "warm up"})
            before, began = _peak(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
            wire.send(client.port)
            while not wire.poll():
                await asyncio.sleep(0.05)
            wire.send((_peak() - before, resource.getrusage(resource.RUSAGE_SELF).ru_utime - began))

    asyncio.run(run())


async def _measure(size: int, window: int | None) -> list[str]:
    from tests.server.compacting import served
    from tests.server.harness import Client

    peer = CompactPeer("none_chat")
    spawn = multiprocessing.get_context("spawn")
    async with served(peer.app) as url:
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_serve, args=(url, window, theirs), daemon=True)
        process.start()
        loop = asyncio.get_running_loop()
        client = Client(await loop.run_in_executor(None, ours.recv))
        body = orjson.dumps({"model": "m", "input": history(size)})
        peer.seen.clear()
        began = time.perf_counter()
        answer = await client.post("/v1/responses/compact", body)
        took = time.perf_counter() - began
        assert answer.status == 200, answer.body
        ours.send("end")
        grown, cpu = await loop.run_in_executor(None, ours.recv)
        process.join(10)
    asked = sum(len(orjson.dumps(sent)) for _, sent in peer.seen)
    return [
        f"{len(body) / MIB:.1f} MiB",
        f"{len(answer.body) / 1024:.0f} KiB",
        f"{len(peer.seen)}",
        f"{asked / MIB:.2f} MiB",
        f"{took:.2f} s",
        f"{cpu:.2f} s",
        f"{grown / MIB:.0f} MiB ({grown / len(body):.1f} x)",
    ]


def main() -> None:
    """Print the table."""
    heads = ["window", "before", "after", "calls", "asked in all", "time", "our CPU", "memory"]
    rows = [
        heads,
        *([name, *asyncio.run(_measure(size * MIB, window))] for name, window in WINDOWS.items() for size in SIZES),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


if __name__ == "__main__":
    main()
