"""The default store: there is none until something is to be stored, and from then on it is there with the process."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from orjson import loads

from adapter.errors import StoreUnavailable
from adapter.server.stored import parts
from adapter.server.stored.parts import Stored
from adapter.store.store import Store
from tests.server.harness import adapter, play, upstream
from tests.server.scripted import Upstream, chat_reply, json_reply

DEFAULT: dict[str, Any] = {}


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "adapter" / "store.db"


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Stored]:
    """The stores that began."""
    seen: list[Stored] = []
    start = Stored.start

    def noted(stored: Stored) -> None:
        seen.append(stored)
        start(stored)

    monkeypatch.setattr(Stored, "start", noted)
    return seen


def test_turns_that_are_not_to_be_stored_make_no_database(database: Path, begun: list[Stored]) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), store=DEFAULT) as client,
        ):
            for answer in (
                await client.ask("chat"),
                await client.ask("chat", store=False),
                await client.ask("responses", store=False),
                await client.ask("responses", store=False, background=False, input=[{"role": "user", "content": "Hi"}]),
            ):
                assert answer.status == 200
            ready = await client.get("/readyz")
            assert ready.json == {"status": "ready", "store": "ok"}

    play(scenario)
    assert not database.exists()
    assert begun == []


def test_the_first_stored_turns_make_one_private_database(database: Path, begun: list[Stored]) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), store=DEFAULT) as client,
        ):
            answers = await asyncio.gather(*(client.ask("responses", input=f"{i}") for i in range(5)))
            for answer in answers:
                found = await client.get(f"/v1/responses/{answer.json['id']}")
                assert found.json == answer.json
            further = await client.ask("responses", previous_response_id=answers[0].json["id"], store=False)
            assert further.status == 200

    play(scenario)
    assert database.stat().st_mode & 0o777 == 0o600
    assert len(begun) == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"background": True}, "background"),
    ],
)
def test_what_a_turn_names_is_looked_for_although_nothing_is_stored(
    fields: dict[str, Any], param: str | None, database: Path, begun: list[Stored]
) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), store=DEFAULT) as client,
        ):
            answer = await client.ask("responses", **({"store": False} | fields))
            assert answer.status in (400, 404)
            assert answer.json["error"]["param"] == param

    play(scenario)
    assert len(begun) == 1


@pytest.mark.parametrize("path", ["/v1/responses/resp_1", "/v1/chat/completions", "/v1/conversations/conv_1/items"])
def test_what_is_stored_can_be_asked_for_before_anything_is(path: str, database: Path, begun: list[Stored]) -> None:
    async def scenario() -> None:
        async with Upstream([]) as up, adapter(upstream(up.url, "chat"), store=DEFAULT) as client:
            answer = await client.get(path)
            assert answer.status == (200 if path.endswith("completions") else 404)

    play(scenario)
    assert len(begun) == 1


def test_a_database_of_an_earlier_run_is_looked_after_from_the_start(database: Path, begun: list[Stored]) -> None:
    async def stored() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), store=DEFAULT) as client,
        ):
            await client.ask("responses")

    async def again() -> None:
        async with Upstream([]) as up, adapter(upstream(up.url, "chat"), store=DEFAULT):
            assert len(begun) == 2

    play(stored)
    play(again)


def test_what_an_earlier_run_left_is_ended_and_what_has_expired_is_removed(
    database: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Now, and as soon as the database is there."""
    monkeypatch.setattr(parts, "_SWEEP_EVERY", 0.02)
    fail = Store.fail_abandoned
    swept: list[int] = []

    async def away(self: Store, error: dict[str, Any]) -> int:
        if not swept:
            swept.append(0)
            raise StoreUnavailable("gone")
        swept.append(await fail(self, error))
        return swept[-1]

    monkeypatch.setattr(Store, "fail_abandoned", away)

    async def scenario() -> None:
        for known, ttl, status in (("resp_lost", None, "in_progress"), ("resp_old", 60, "completed")):
            earlier = Store(f"sqlite:///{database}", ttl=ttl, clock=lambda: 1e9)
            await earlier.save_response("default", {"id": known, "status": status}, input=[])
            await earlier.close()
        async with adapter(upstream("http://127.0.0.1:9", "chat"), store=DEFAULT) as client:
            with closing(sqlite3.connect(database)) as there:
                while there.execute("SELECT id FROM responses").fetchall() != [("resp_lost",)]:
                    await asyncio.sleep(0.02)
            lost = (await client.get("/v1/responses/resp_lost")).json
            assert (lost["status"], lost["error"]["code"]) == ("failed", "server_error")

    play(scenario)
    lines = [loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["reason"] for line in lines if line["event"] == "store_unavailable"] == ["gone"]
    assert [line["count"] for line in lines if line["event"] == "responses_abandoned"] == [1]


def test_every_turn_is_stored_where_the_operator_wants_it(database: Path, begun: list[Stored]) -> None:
    async def scenario() -> None:
        always = {"mode": "always"}
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), store=always) as client,
        ):
            answer = await client.ask("chat")
            found = await client.get(f"/v1/chat/completions/{answer.json['id']}")
            assert found.json["choices"] == answer.json["choices"]

    play(scenario)


@pytest.mark.parametrize("section", [{"mode": "client"}, {"mode": "always"}, {"ttl": 60}])
def test_a_store_that_the_operator_wrote_of_is_told_to_be_in_trouble_before_anyone_needs_it(
    section: dict[str, Any], database: Path
) -> None:
    database.parent.write_text("a file where the directory would be")

    async def scenario() -> None:
        async with Upstream([]) as up, adapter(upstream(up.url, "chat"), store=section) as client:
            ready = await client.get("/readyz")
            assert (ready.status, ready.json["status"]) == (503, "store_unavailable")

    play(scenario)


@pytest.mark.parametrize("section", [DEFAULT, {"mode": "always"}])
def test_where_no_file_can_be_looked_for_only_what_is_to_be_stored_is_refused(
    section: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/" + "a" * 300)

    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), store=section) as client,
        ):
            assert (await client.ask("responses")).status == 503
            assert (await client.get("/readyz")).status == 503
            assert (await client.ask("chat")).status == (503 if section else 200)

    play(scenario)
