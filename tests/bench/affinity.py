"""Prompt-cache hits of sticky routing and of round-robin, on a simulated pool whose targets die and return.

    python -m tests.bench.affinity

Each target keeps the prompts of its most recent conversations; a request hits as far as its target has seen the earlier
turns of its conversation. Every conversation grows turn by turn; targets die, which empties their cache, and come back.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from adapter.upstream.affinity import ordered

TARGETS = 8
CONVERSATIONS = 400
TURNS = 20_000
TOKENS_A_TURN = 1_000
CACHE = 80
"""Conversations that a target's cache holds; its share of those that run is 50."""
LONGEST = 40
"""Turns, before a conversation ends and another one begins."""
OUT_EVERY, OUT_FOR = 2_500, 800
"""Requests between two failures, and how long a target is away."""


@dataclass
class Target:
    """A model server with a prompt cache."""

    rank_name: str
    weight: float = 1
    priority: int = 0
    alive: bool = True
    cache: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def ask(self, conversation: str, turns: int) -> int:
        """The turns of the prompt that were cached."""
        seen = self.cache.pop(conversation, 0)
        self.cache[conversation] = turns
        if len(self.cache) > CACHE:
            self.cache.popitem(last=False)
        return min(seen, turns)


Choose = Callable[[str, Sequence[Target]], Target]


def sticky(conversation: str, alive: Sequence[Target]) -> Target:
    """What the adapter does."""
    return ordered(conversation.encode(), alive)[0]


def round_robin() -> Choose:
    """The next one, and the next one."""
    at = [0]

    def choose(_: str, alive: Sequence[Target]) -> Target:
        at[0] += 1
        return alive[at[0] % len(alive)]

    return choose


def modulo(conversation: str, alive: Sequence[Target]) -> Target:
    """A plain hash over whoever is there: sticky until somebody leaves."""
    return alive[hash_of(conversation) % len(alive)]


def hash_of(text: str) -> int:
    return sum(byte * 131**place for place, byte in enumerate(text.encode()))


def hit_rate(choose: Choose, *, failures: bool, seed: int = 1) -> float:
    """The part of all prompt tokens that a cache had."""
    draw = random.Random(seed)
    pool = [Target(f"t{number}") for number in range(TARGETS)]
    turns: dict[int, int] = {}
    names = {number: f"c{number}" for number in range(CONVERSATIONS)}
    hit = sent = 0
    returns: list[tuple[int, Target]] = []
    for request in range(TURNS):
        if failures:
            for due, back in list(returns):
                if due <= request:
                    back.alive = True
                    returns.remove((due, back))
            if request and request % OUT_EVERY == 0:
                victim = draw.choice([target for target in pool if target.alive])
                victim.alive = False
                victim.cache.clear()
                returns.append((request + OUT_FOR, victim))
        number = draw.randrange(CONVERSATIONS)
        turn = turns.get(number, 0) + 1
        if turn > LONGEST:
            names[number], turn = f"{names[number]}'", 1
        turns[number] = turn
        target = choose(names[number], [target for target in pool if target.alive])
        hit += target.ask(names[number], turn) * TOKENS_A_TURN
        sent += turn * TOKENS_A_TURN
    return hit / sent


def main() -> None:
    """Print the table."""
    print(f"prompt-cache hit rate, {TARGETS} targets, {CONVERSATIONS} conversations, {TURNS} requests")
    print(f"{'':<24}{'all alive':>12}{'with failures':>16}")
    for name, make in (
        ("rendezvous (sticky)", lambda: sticky),
        ("hash modulo", lambda: modulo),
        ("round-robin", round_robin),
    ):
        calm, rough = hit_rate(make(), failures=False), hit_rate(make(), failures=True)
        print(f"{name:<24}{calm:>11.1%}{rough:>15.1%}")


if __name__ == "__main__":
    main()
