"""An upstream with several keys, each of an account of its own: what one account sealed, only that one can open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.server.compacting import ASKS, COMPACT, HISTORY, TOOL, served
from tests.server.harness import Client, adapter, play, upstream
from tests.server.scripted import Upstream, json_reply, response

TWO = {"api_keys": ["kA", "kB"]}
REFUSED = {"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_encrypted_content"}}
LIMITED = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}


class Accounts:
    """A Responses server that compacts and thinks; its blobs say whose they are, and a foreign one is refused."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        """Those it was asked with."""
        self.limited: set[str] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        key = dict(scope["headers"])[b"authorization"].decode().split()[1]
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        self.keys.append(key)
        status, answer = self._answer(key, scope["path"], json.loads(body))
        headers = [(b"content-type", b"application/json"), (b"retry-after", b"60")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _answer(self, key: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        items = body["input"] if isinstance(body["input"], list) else []
        if key in self.limited:
            return 429, LIMITED
        if any(key not in item["encrypted_content"] for item in items if item.get("encrypted_content")):
            return 400, REFUSED
        if path.endswith("/compact") or items[-1:] == [{"type": "compaction_trigger"}]:
            kept = [item for item in items if item.get("role") == "user"][-1:]  # the conversation's opening is gone
            blob = {"type": "compaction", "id": "cmp_1", "encrypted_content": f"gAAA-{key}"}
            return 200, response() | {"output": [*kept, blob] if path.endswith("/compact") else [blob]}
        made = response()
        thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": f"gAAA-{key}"}
        return 200, made | {"output": [thought, *made["output"]]}


@asynccontextmanager
async def accounts(**section: Any) -> AsyncIterator[tuple[Accounts, Client]]:
    peer = Accounts()
    async with served(peer) as url, adapter(upstream(url, "responses", **TWO, **section)) as client:
        yield peer, client


def opening(number: int) -> list[dict[str, Any]]:
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"conversation {number}"}]}
    return [said, *HISTORY[2:], ASKS]


@pytest.mark.parametrize("how", ["compact", "trigger", "openai"])
def test_a_compaction_goes_back_to_the_key_that_made_it_though_the_opening_has_changed(how: str) -> None:
    async def scenario() -> None:
        section = {"profile": "openai"} if how == "openai" else {"compact": "auto" if how == "compact" else "trigger"}
        async with accounts(**section) as (peer, client):
            for number in range(6):
                if how == "compact":
                    made = await client.post(COMPACT, {"model": "m", "input": opening(number)})
                else:
                    asked = {
                        "input": [*opening(number), {"type": "compaction_trigger"}],
                        "tools": [TOOL],
                        "store": False,
                    }
                    made = await client.post("/v1/responses", {"model": "m", **asked})
                assert made.status == 200, made.body
                going_on = {"model": "m", "input": [*made.json["output"], ASKS], "store": False}
                found = await client.post("/v1/responses", going_on)
                assert found.status == 200, found.body
            assert peer.keys[::2] == peer.keys[1::2]
            assert set(peer.keys) == {"kA", "kB"}

    play(scenario)


def test_a_compaction_whose_key_is_limited_waits_for_it_and_is_shown_to_no_other_account() -> None:
    async def scenario() -> None:
        async with accounts() as (peer, client):
            made = (await client.post(COMPACT, {"model": "m", "input": opening(1)})).json["output"]
            peer.limited = {peer.keys[0]}
            for _ in range(2):
                found = await client.post("/v1/responses", {"model": "m", "input": [*made, ASKS]})
                assert (found.status, found.headers["retry-after"]) == (429, "60"), found.body
            assert set(peer.keys) == peer.limited
            assert (await client.post("/v1/responses", {"model": "m", "input": "another"})).status == 200

    play(scenario)


def test_reasoning_whose_key_is_limited_goes_on_with_the_other_one() -> None:
    async def scenario() -> None:
        async with accounts() as (peer, client):
            made = (await client.post(COMPACT, {"model": "m", "input": opening(1)})).json["output"]
            first = await client.post("/v1/responses", {"model": "m", "input": [*made, ASKS]})
            thought = [item for item in first.json["output"] if item["type"] == "reasoning"]
            assert thought[0]["encrypted_content"].startswith("adapter:"), "what comes after a compaction is wrapped"
            peer.limited = {peer.keys[-1]}
            for _ in range(2):  # found limited, then known to be
                found = await client.post("/v1/responses", {"model": "m", "input": [ASKS, *thought, ASKS]})
                assert found.status == 200, found.body
                assert "x-adapter-losses" in found.headers, "the other account could not read it"

    play(scenario)


def test_a_key_that_was_taken_away_leaves_its_compactions_to_the_first_one() -> None:
    async def scenario() -> None:
        sealing = {"keys": ["A" * 43 + "="]}
        peer = Accounts()
        async with served(peer) as url:
            async with adapter(upstream(url, "responses", api_keys=["old", "kB"]), sealing=sealing) as client:
                made = [
                    (await client.post(COMPACT, {"model": "m", "input": opening(number)})).json for number in range(6)
                ]
            by_old = made[peer.keys.index("old")]["output"]
            async with adapter(upstream(url, "responses", **TWO), sealing=sealing) as client:
                await client.post("/v1/responses", {"model": "m", "input": [*by_old, ASKS]})
            assert peer.keys[-1] == "kA"

    play(scenario)


def test_reasoning_alone_passes_untouched_with_several_keys() -> None:
    async def scenario() -> None:
        whole = response()
        whole["output"].insert(0, {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"})
        async with Upstream([json_reply(whole)]) as up, adapter(upstream(up.url, "responses", **TWO)) as client:
            found = await client.ask("responses", include=["reasoning.encrypted_content"])
            assert found.json == whole

    play(scenario)


@pytest.mark.parametrize("spare", [False, True])
@pytest.mark.parametrize("what", ["threshold", "trigger", "blobs"])
def test_a_background_response_that_its_upstream_keeps_has_only_begun_and_passes(what: str, spare: bool) -> None:
    """Whatever may hold a blob that were to be wrapped comes later."""
    asked: dict[str, Any] = {
        "threshold": {"context_management": [{"type": "compaction", "compact_threshold": 100_000}]},
        "trigger": {"input": [ASKS, {"type": "compaction_trigger"}]},
        "blobs": {"include": ["reasoning.encrypted_content"]},
    }[what]

    async def scenario() -> None:
        begun = response(status="queued") | {"output": [], "background": True, "usage": None}
        async with Upstream([json_reply(begun)]) as up, Upstream() as other:
            sections = [upstream(up.url, "responses", profile="openai", **TWO)]
            sections += [upstream(other.url, "responses", "other", profile="openai")] * spare
            async with adapter(*sections) as client:
                found = await client.ask("responses", background=True, store=True, **asked)
                assert (found.status, found.json) == (200, begun), found.body
                assert up.seen[0].json["background"] is True

    play(scenario)


def test_many_conversations_at_once_keep_to_their_keys() -> None:
    async def scenario() -> None:
        async with accounts() as (_, client):

            async def one(number: int) -> int:
                made = await client.post(COMPACT, {"model": "m", "input": opening(number)})
                again = await client.post(COMPACT, {"model": "m", "input": [*made.json["output"], ASKS]})
                found = await client.post("/v1/responses", {"model": "m", "input": [*again.json["output"], ASKS]})
                return found.status

            assert await asyncio.gather(*map(one, range(20))) == [200] * 20

    play(scenario)
