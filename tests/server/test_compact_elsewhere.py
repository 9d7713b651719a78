"""A configured model that summarises (`compaction.model`): its calls count at its upstream like every other call there."""

from __future__ import annotations

import asyncio

import pytest

from tests.server.compacting import COMPACT, WAYS
from tests.server.harness import Client, adapter, play, upstream
from tests.server.scripted import Stall, Upstream, chat_stream, json_reply

CALL = WAYS["openai"].body
SICK = json_reply({"error": {"message": "no"}}, 500)


async def compacted(client: Client) -> None:
    answer = await client.post(COMPACT, CALL)
    assert answer.status == 200, answer.body


def test_an_upstream_with_no_place_left_summarises_nothing_and_the_own_model_does() -> None:
    async def scenario() -> None:
        async with (
            Upstream([Stall()]) as small,
            Upstream(chat_stream("the summary")) as main,
            adapter(
                upstream(main.url, "chat", "main", models=["m"]),
                upstream(small.url, "chat", "small", models=["small"], max_concurrency=1),
                compaction={"model": "small"},
            ) as client,
        ):
            busy = asyncio.ensure_future(client.ask("chat", model="small"))
            await small.arrived.wait()
            await compacted(client)
            assert (len(small.seen), len(main.seen)) == (1, 1)
            busy.cancel()

    play(scenario)


@pytest.mark.parametrize("bound", [1, None])
def test_another_model_of_the_same_upstream_works_in_the_place_of_the_turn(bound: int | None) -> None:
    async def scenario() -> None:
        section = {} if bound is None else {"max_concurrency": bound}
        async with (
            Upstream(chat_stream("the summary")) as up,
            adapter(upstream(up.url, "chat", **section), compaction={"model": "small"}) as client,
        ):
            for _ in range(2):
                await compacted(client)
            assert [seen.json["model"] for seen in up.seen] == ["small", "small"]

    play(scenario)


def test_of_all_that_have_the_summarising_model_the_upstream_of_the_turn_is_asked_first() -> None:
    async def scenario() -> None:
        async with (
            Upstream(chat_stream("the summary")) as preferred,
            Upstream(chat_stream("the summary")) as main,
            adapter(
                upstream(preferred.url, "chat", "preferred", models=["small"]),
                upstream(main.url, "chat", "main", models=["m", "small"]),
                compaction={"model": "small"},
            ) as client,
        ):
            await compacted(client)
            assert (len(preferred.seen), [seen.json["model"] for seen in main.seen]) == (0, ["small"])

    play(scenario)


def test_a_summary_takes_the_last_place_of_its_upstream_and_gives_it_back_when_its_client_leaves() -> None:
    async def scenario() -> None:
        async with (
            Upstream([Stall()], chat_stream("Hello")) as small,
            Upstream(chat_stream("-")) as main,
            adapter(
                upstream(main.url, "chat", "main", models=["m"]),
                upstream(small.url, "chat", "small", models=["small"], max_concurrency=1),
                compaction={"model": "small"},
            ) as client,
        ):
            leaving = asyncio.ensure_future(compacted(client))
            await small.arrived.wait()
            assert (await client.ask("chat", model="small")).status == 503
            leaving.cancel()
            await asyncio.wait_for(small.seen[0].finished.wait(), 2)
            assert (await client.ask("chat", model="small", stream=True)).status == 200

    play(scenario)


def test_a_summariser_that_stays_broken_is_probed_once_in_a_while_and_not_by_every_compaction() -> None:
    async def scenario() -> None:
        async with (
            Upstream([SICK]) as small,
            Upstream(chat_stream("the summary")) as main,
            adapter(
                upstream(main.url, "chat", "main", models=["m"]),
                upstream(small.url, "chat", "small", models=["small"]),
                compaction={"model": "small"},
            ) as client,
        ):
            for _ in range(5):
                await compacted(client)
            assert len(small.seen) == 5
            await asyncio.sleep(2.05)  # a breaker opens for two seconds at most at first
            for _ in range(5):
                await compacted(client)
            assert len(small.seen) == 6

    play(scenario)


def test_a_limited_key_of_the_summarising_model_gives_way_to_its_next_one() -> None:
    async def scenario() -> None:
        limited = [json_reply({"error": {"message": "slow down"}}, 429, "retry-after: 60")]
        async with (
            Upstream(limited, chat_stream("the summary")) as small,
            Upstream(chat_stream("the summary")) as main,
            adapter(
                upstream(main.url, "chat", "main", models=["m"]),
                upstream(small.url, "chat", "small", models=["small"], api_keys=["k1", "k2"]),
                compaction={"model": "small"},
            ) as client,
        ):
            for _ in range(3):
                await compacted(client)
            keys = [seen.headers["authorization"] for seen in small.seen]
            assert (len(set(keys[:2])), keys[1], len(main.seen)) == (2, keys[2], 1)

    play(scenario)


def test_a_turn_of_the_summarising_model_itself_is_not_asked_for_its_summary_twice() -> None:
    async def scenario() -> None:
        async with (
            Upstream([SICK]) as up,
            adapter(upstream(up.url, "chat"), compaction={"model": "m"}) as client,
        ):
            assert (await client.post(COMPACT, CALL)).status == 500
            assert len(up.seen) == 1

    play(scenario)
