"""Where a turn goes: who may serve it, in which order, and how much was learnt of those before.

found   the targets of a body that its caller may use, the conversation's own first
over    a course over them: its `way` goes on to the next one as long as no answer has begun
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adapter.access.groups import Access
from adapter.errors import ModelNotFound
from adapter.server.calls.plan import targets
from adapter.server.courses.way import Over, Way
from adapter.server.turn import Turn
from adapter.upstream.affinity import ordered, score, session
from adapter.upstream.failover import Failover
from adapter.upstream.health import Health
from adapter.upstream.router import Router, Target

if TYPE_CHECKING:
    from adapter.server.courses.course import Course


@dataclass(slots=True, kw_only=True)
class Routing:
    """The routing of one process."""

    router: Router
    health: Health
    access: Access | None = None
    """None: there are no keys, and everyone may use everything."""

    def visible(self, turn: Turn) -> frozenset[str] | None:
        """The names of the upstreams that there are for the turn's caller; None: all."""
        return None if self.access is None else self.access.visible(turn.caller.groups)

    def found(self, turn: Turn, body: dict[str, Any], *, evidence: dict[str, Any] | None = None) -> tuple[Target, ...]:
        """Who may serve the turn, best first; never empty. The routing hint is taken out of `body`. `evidence` is the body
        that tells the conversation, where that is another one.

        Raises:
            BadRequest: the model or the hint is missing or no name.
            ModelNotFound: nothing that the caller may see serves the model.
            Forbidden: the caller's groups do not allow it.
        """
        found = targets(body, self.router, self.visible(turn))
        if self.access is not None:
            caller = turn.caller
            group = self.access.granting(caller.groups, found[0].asked, [target.upstream.name for target in found])
            found = tuple(target for target in found if group.allows_upstream(target.upstream.name))
            turn.counters = self.access.counters(group, caller.tenant, caller.key_id or "")
        return self.ranked(turn, body if evidence is None else evidence, found)

    def ranked(self, turn: Turn, body: dict[str, Any], found: tuple[Target, ...]) -> tuple[Target, ...]:
        """`found`, those first to which the conversation in `body` goes."""
        if len(found) == 1 and not found[0].upstream.has_keys:
            return found
        about = session(body, turn.headers) or turn.request_id.encode()
        return tuple(_with_key(target, about) for target in ordered(about, found))

    def shared(self, turn: Turn, target: Target) -> bool:
        """Whether others serve this model, too, whoever was named this time: the next turn may name nobody."""
        return len(self.router.route(target.asked, None, self.visible(turn))) > 1

    def beside(self, turn: Turn, body: dict[str, Any], model: str, serving: Target) -> Failover:
        """The way to another model's answer that a turn over `serving` needs first: the upstream of that one before the others,
        nobody who rests."""
        try:
            routed = self.router.route(model, None, self.visible(turn))
            found = self.ranked(turn, body, self.health.known(routed, turn.caller.tenant))
        except ModelNotFound:
            found = ()
        here = [replace(one, key=serving.key) for one in found if one.upstream is serving.upstream]
        tenant = turn.caller.tenant
        able = [one for one in _with_all_keys([*here, *found]) if not self.health.wait(one, tenant)]
        return Failover(able, self.health, tenant, held=serving.upstream)

    def over(self, turn: Turn, found: tuple[Target, ...], pool: Sequence[Target], decide: Over) -> Course:
        """`decide`'s course for the first of `found`, and where that fails, for the others in `pool`. Where the turn was decided
        before, a place at an upstream that is held for it is given up for the new one, and who was shut may be open now.

        Raises:
            AdapterError: it cannot be decided, or nobody can be asked now.
        """
        if turn.failover is not None:
            turn.failover.leave()
            turn.shut.clear()
        tenant = turn.caller.tenant
        if self.health.unknown:
            known = self.health.known
            pool, found = known(pool, tenant), known(found, tenant)
        failover = turn.failover = Failover(_with_all_keys(pool), self.health, tenant)
        return Way(turn, found, failover, decide, self.health).first()


def _with_key(target: Target, about: bytes) -> Target:
    """The target with the key that this conversation uses: prompt caches may be an account's."""
    keys = target.upstream.api_keys
    if not target.upstream.has_keys or keys is None:
        return target
    return replace(target, key=min(range(len(keys)), key=lambda place: score(about, f"key{place}", 1)))


def _with_all_keys(pool: Sequence[Target]) -> list[Target]:
    """Every target with its own key first, then with its others where those will do."""
    found: list[Target] = []
    for target in pool:
        found.append(target)
        if target.upstream.has_keys and not target.bound:
            number = len(target.upstream.api_keys or ())
            found += [replace(target, key=(target.key + step) % number) for step in range(1, number)]
    return found
