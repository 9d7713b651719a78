"""Writers that meet: two replicas at once, and random histories against a model in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.util import await_only

from adapter.errors import PreviousResponseNotFound, StoreUnavailable
from adapter.hub.events import Item
from adapter.store import chains
from adapter.store import items as item_rows
from adapter.store.schema import items, response_items
from adapter.store.store import Store
from tests.store.conftest import Backend, Clock
from tests.store.samples import assistant, response, texts, user

ROUNDS = 40
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")


async def test_continuing_what_is_deleted_at_that_moment(backend: Backend) -> None:
    """Either the turn is stored on the whole history, or it is told that there is none."""
    one, two = backend.store(), backend.store()
    for n in range(ROUNDS):
        await one.save_response("t", response(f"p{n}", assistant("a", f"msg_{n}")), input=[user("q")])
        child = response(f"c{n}", assistant("b", f"msg_c{n}"), previous_response_id=f"p{n}")

        async def later(child: dict[str, object] = child, n: int = n) -> bool | None:
            await asyncio.sleep(n % 10 * 0.0005)
            try:
                return await two.save_response("t", child, input=[user("r")])
            except PreviousResponseNotFound:
                return None

        stored, deleted = await asyncio.gather(later(), one.delete_response("t", f"p{n}"))
        assert deleted
        history = texts(await one.resolve("t", f"c{n}"))
        assert history == (["q", "a", "r", "b"] if stored else None)


async def test_storing_an_item_that_is_removed_at_that_moment(backend: Backend) -> None:
    """The last pointer goes while another comes: the item is there for the one that came."""
    one, two = backend.store(), backend.store()
    for n in range(ROUNDS):
        shared = [user("same", id=f"msg_{n}_{k}") for k in range(5)]
        await one.save_response("t", response(f"a{n}"), input=shared)
        await asyncio.gather(
            one.delete_response("t", f"a{n}"), two.save_response("t", response(f"b{n}"), input=shared[::-1])
        )
        assert await one.resolve("t", f"b{n}") == shared[::-1]


async def test_deleting_the_last_two_branches_of_a_fork_at_once(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL neither deletion sees the other: what both leave of the trunk goes with the next purge."""
    one, two = backend.store(ttl=None), backend.store(ttl=None)
    await one.save_response("t", response("trunk", assistant("a", "msg_1")), input=[user("q")])
    for name in "xy":
        branch = response(name, assistant(name, f"msg_{name}"), previous_response_id="trunk")
        await one.save_response("t", branch, input=[user(name)])
    await one.delete_response("t", "trunk")
    both, remove = asyncio.Barrier(1 if one.db.is_sqlite else 2), chains.remove

    def meeting(connection: Connection, ends: Sequence[tuple[str, str]], now: int) -> int:
        removed = remove(connection, ends, now)
        await_only(both.wait())
        return removed

    monkeypatch.setattr(chains, "remove", meeting)
    assert await asyncio.gather(one.delete_response("t", "x"), two.delete_response("t", "y")) == [True, True]
    monkeypatch.undo()
    await one.purge_expired()
    assert await counts(one, "t") == (0, 0)


async def test_removing_the_last_two_pointers_to_an_item_at_once(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer was asked for twice: what both turns were given goes with them, and not with neither."""
    one, two = backend.store(), backend.store()
    for name in "xy":
        await one.save_response("t", response(name, assistant(name, f"msg_{name}")), input=[user("same", id="msg_1")])
    writers = 1 if one.db.is_sqlite else 2
    both, collect, collected = asyncio.Barrier(writers), item_rows.collect, 0

    async def met() -> None:
        while collected < writers and not await one.db.read(lambda connection: connection.scalar(WAITING)):
            await asyncio.sleep(0.01)

    def meeting(connection: Connection, tenant: str, digests: Iterable[bytes]) -> None:
        nonlocal collected
        await_only(both.wait())
        collect(connection, tenant, digests)
        collected += 1
        await_only(met())

    monkeypatch.setattr(item_rows, "collect", meeting)
    assert await asyncio.gather(one.delete_response("t", "x"), two.delete_response("t", "y")) == [True, True]
    assert await counts(one, "t") == (0, 0)


async def test_adding_to_a_conversation_that_is_deleted_at_that_moment(backend: Backend) -> None:
    """What comes while it goes is gone with it, and no item stays that nobody could delete any more."""
    one, two = backend.store(), backend.store()
    await one.create_conversation("t", "conv_1", items=[user("q")])
    adding: list[asyncio.Task[list[Item] | None]] = []

    async def met() -> None:
        while not adding[0].done() and not await one.db.read(lambda connection: connection.scalar(WAITING)):
            await asyncio.sleep(0.01)

    def add(connection: Connection, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith("DELETE FROM conversation_items"):
            adding.append(asyncio.ensure_future(two.add_conversation_items("t", "conv_1", [user("late")])))
            if not one.db.is_sqlite:  # there it waits for the whole transaction
                await_only(met())

    event.listen(one.db.engine, "after_cursor_execute", add)
    assert await one.delete_conversation("t", "conv_1")
    assert await adding[0] is None
    assert await counts(one, "t") == (0, 0)


async def test_many_replicas_store_the_same_items_in_any_order(backend: Backend) -> None:
    """No deadlock."""
    stores = [backend.store() for _ in range(3)]
    shared = [user(str(n), id=f"msg_{n}") for n in range(30)]

    async def put(n: int) -> None:
        mixed = random.Random(n).sample(shared, len(shared))
        assert await stores[n % 3].save_response("t", response(f"resp_{n}"), input=mixed)
        assert await stores[n % 3].resolve("t", f"resp_{n}") == mixed

    for batch in range(0, 24, 6):
        await asyncio.gather(*(put(n) for n in range(batch, batch + 6)))
    assert (await stores[0].stats()).rows["items"] == 30


@pytest.mark.parametrize("seed", range(2))
async def test_many_writers_of_few_objects_leave_nothing_behind(backend: Backend, seed: int) -> None:
    """Whatever comes and goes beside each other: what was deleted is gone, with the bytes of its items, once all of it is."""
    stores = [backend.store(), backend.store()]
    names, conversations = ["resp_0"], ["conv_1", "conv_2"]

    async def one(rng: random.Random) -> None:
        store, name, conversation = rng.choice(stores), rng.choice(names[-4:]), rng.choice(conversations)
        said = [user(str(rng.randrange(3))), user("own", id=f"msg_{rng.randrange(3)}")]
        match rng.randrange(6):
            case 0 | 1 as chained:
                goes_on_from = {"previous_response_id": name} if chained else {"conversation": {"id": conversation}}
                names.append(f"resp_{len(names)}")
                turn = response(names[-1], assistant("a", f"msg_{rng.randrange(3)}"), **goes_on_from)
                with suppress(PreviousResponseNotFound):
                    await store.save_response("t", turn, input=said)
            case 2:
                await store.delete_response("t", name)
            case 3:
                await store.add_conversation_items("t", conversation, said)
            case 4:
                await store.delete_conversation("t", conversation)
            case 5 if await store.conversation("t", conversation) is None:
                with suppress(StoreUnavailable):  # somebody else just did
                    await store.create_conversation("t", conversation, items=said)

    async def writer(number: int) -> None:
        rng = random.Random(f"{seed} {number}")
        for _ in range(30):
            await one(rng)

    await asyncio.gather(*(writer(number) for number in range(5)))
    for conversation in conversations:
        await stores[0].delete_conversation("t", conversation)
    for name in names:
        await stores[0].delete_response("t", name)
    await stores[0].purge_expired()
    assert await counts(stores[0], "t") == (0, 0)


@dataclass
class Known:
    """A response as the model knows it."""

    own: list[str]
    previous: str | None
    expires: float
    deleted: bool = False


@dataclass
class Model:
    """The store, said in twenty lines."""

    responses: dict[str, Known] = field(default_factory=dict)

    def live(self, name: str, now: float) -> bool:
        known = self.responses.get(name)
        return known is not None and not known.deleted and known.expires > now

    def history(self, name: str, now: float) -> list[str] | None:
        if not self.live(name, now):
            return None
        said: list[str] = []
        step: str | None = name
        while step is not None:
            said = self.responses[step].own + said
            step = self.responses[step].previous
        return said

    def needed(self, now: float) -> set[str]:
        """Live responses and all that they continue."""
        found: set[str] = set()
        for name in self.responses:
            step: str | None = name if self.live(name, now) else None
            while step is not None and step not in found:
                found.add(step)
                step = self.responses[step].previous
        return found


async def test_random_histories_agree_with_the_model(backend: Backend, clock: Clock) -> None:
    """Saves, forks, deletions, time and purges in any order: what is readable, and what is left in the tables."""
    store = backend.store(ttl=100)
    for seed in range(4):
        await scenario(store, clock, f"tenant{seed}", random.Random(seed))


async def scenario(store: Store, clock: Clock, tenant: str, rng: random.Random) -> None:
    model = Model()
    for step in range(40):
        name = f"resp_{step}"
        choice = rng.random()
        if choice < 0.55:
            alive = [known for known in model.responses if model.live(known, clock.time)]
            previous = rng.choice(alive) if alive and rng.random() < 0.8 else None
            own = [f"q{rng.randrange(3)}", f"a{step}"]
            reply = response(name, assistant(own[1], f"msg_{step}"), previous_response_id=previous)
            assert await store.save_response(tenant, reply, input=[user(own[0])])
            model.responses[name] = Known(own, previous, clock.time + 100)
        elif choice < 0.85 and model.responses:
            name = rng.choice(list(model.responses))
            assert await store.delete_response(tenant, name) == model.live(name, clock.time)
            model.responses[name].deleted = True
        elif choice < 0.95:
            clock.time += rng.choice([1, 30, 60])
        else:
            await store.purge_expired()
        for name in rng.sample(sorted(model.responses), min(3, len(model.responses))):
            assert texts(await store.resolve(tenant, name)) == model.history(name, clock.time)
            assert (await store.response(tenant, name) is not None) == model.live(name, clock.time)

    await store.purge_expired()
    for name in model.responses:
        assert texts(await store.resolve(tenant, name)) == model.history(name, clock.time)
    left = model.needed(clock.time)
    rows, dangling = await counts(store, tenant)
    assert (rows, dangling) == (2 * len(left), 0)


async def counts(store: Store, tenant: str) -> tuple[int, int]:
    """Pointers of this tenant, and items that nothing points at."""
    pointers = select(func.count()).where(response_items.c.tenant == tenant)
    pointed = select(response_items.c.digest).where(response_items.c.tenant == tenant)
    loose = select(func.count()).where(items.c.tenant == tenant, items.c.digest.not_in(pointed))
    found = [
        await store.db.read(lambda connection, query=query: connection.scalar(query)) for query in (pointers, loose)
    ]
    return found[0] or 0, found[1] or 0
