"""The converters alone, in this process: no server, no socket.

Requests as a ratio to `orjson.loads` + `orjson.dumps` of the same body, and how the time for a kB grows from 30 kB to 1 MB;
streams in µs per delta, and how that grows from 200 to 10 000 deltas (1.00 = not at all). CPU time, and the least of several repetitions: noise only ever adds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import orjson

from tests.bench import payloads
from tests.bench.payloads import CHAT, RESPONSES

SHORT: Final = 200
LONG: Final = 10_000
LONG_TURNS: Final = 600
"""Of a conversation of 1 MB."""
PER_READ: Final = 5
"""Deltas in one read, as in the burst workload."""


def run(*, quick: bool = False) -> dict[str, float]:
    """All measurements by name; empty while the library face is not there."""
    try:
        from adapter import translate
        from adapter.dialects.registry import DIALECTS
        from adapter.hub.request import Exchange
    except ImportError:
        return {}
    repeats = 60 if quick else 200
    found: dict[str, float] = {}

    for source, target in ((CHAT, RESPONSES), (RESPONSES, CHAT)):
        body = payloads.request(source, "gpt-5.5", stream=True, history=True)
        whole, bare = _least(
            partial(_translated, translate, body, source, target), partial(_reparsed, body), repeats=repeats
        )
        found[f"30 kB request {source}→{target}, ratio to orjson.loads+dumps"] = whole / bare
        found[f"30 kB request {source}→{target}, µs"] = whole * 1e6
        long = payloads.request(source, "gpt-5.5", stream=True, history=True, turns=LONG_TURNS)
        long_whole, long_bare = _least(
            partial(_translated, translate, long, source, target), partial(_reparsed, long), repeats=repeats // 4
        )
        found[f"1 MB request {source}→{target}, ratio to orjson.loads+dumps"] = long_whole / long_bare
        found[f"1 MB request {source}→{target}, growth per kB"] = (long_whole / len(long)) / (whole / len(body))

    def through(source: str, target: str, parts: list[bytes]) -> None:
        for _ in translate.stream(parts, source, target):  # type: ignore[arg-type]
            pass

    def raw(dialect: str, parts: list[bytes]) -> None:
        stream = DIALECTS[dialect].raw_stream(Exchange.unasked(dialect))  # type: ignore[index, arg-type]
        for part in parts:
            stream.feed(part)

    ways: dict[str, tuple[str, Callable[[list[bytes]], None]]] = {
        "stream chat upstream → responses client": (CHAT, partial(through, CHAT, RESPONSES)),
        "stream responses upstream → chat client": (RESPONSES, partial(through, RESPONSES, CHAT)),
        "stream raw chat": (CHAT, partial(raw, CHAT)),
        "stream raw responses": (RESPONSES, partial(raw, RESPONSES)),
    }
    for name, (dialect, convert) in ways.items():
        short, long = reads(dialect, SHORT), reads(dialect, LONG)
        taken = _least(partial(convert, short), partial(convert, long), repeats=max(8, repeats // 6))
        fast, slow = taken[0] / SHORT, taken[1] / LONG
        found[f"{name}, µs per delta"] = fast * 1e6
        found[f"{name}, growth to {LONG} deltas"] = slow / fast
    return found


def reads(dialect: str, deltas: int) -> list[bytes]:
    """One canned stream, cut as an upstream's reads would be."""
    opening, *middle, closing = payloads.stream(dialect, deltas)
    return [opening, *(b"".join(middle[i : i + PER_READ]) for i in range(0, deltas, PER_READ)), closing]


def _translated(translate: object, body: bytes, source: str, target: str) -> bytes:
    from adapter.wire import jsonio

    return jsonio.dumps(translate.request(jsonio.loads_request(body), source, target).value)  # type: ignore[attr-defined]


def _reparsed(body: bytes) -> bytes:
    return orjson.dumps(orjson.loads(body))


def _least(*works: Callable[[], object], repeats: int) -> list[float]:
    """The least CPU seconds of each, taken in turns so that a slow moment of the machine meets all of them."""
    least = [float("inf")] * len(works)
    for _ in range(repeats):
        for i, work in enumerate(works):
            begun = time.process_time()
            work()
            least[i] = min(least[i], time.process_time() - begun)
    return least


def table(found: Iterable[tuple[str, float]]) -> str:
    """One line each."""
    return "\n".join(f"{value:10.2f}  {name}" for name, value in found)


if __name__ == "__main__":
    print(table(run().items()))
