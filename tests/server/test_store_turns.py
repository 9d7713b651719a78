"""Turns that are stored: what a client asks for, gets, and can go on from, over upstreams that keep nothing themselves."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.engine import Engine

from adapter.hub.grammar import check_responses
from adapter.server.stored import responding
from adapter.server.stored.parts import Stored
from tests.server.harness import PATH, Client, Response, adapter, ask_bytes, play, read_head, upstream
from tests.server.scripted import (
    END,
    SSE,
    Script,
    Stall,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    json_reply,
    response,
    responses_stream,
)

DIALECTS = ["chat", "responses"]


@pytest.fixture
def store(tmp_path: Path) -> dict[str, Any]:
    return {"url": f"sqlite:///{tmp_path}/store.db"}


def plain(dialect: str) -> Script:
    return [json_reply(chat_reply() if dialect == "chat" else response())]


def stream(dialect: str) -> Script:
    return chat_stream("Hel", "lo") if dialect == "chat" else responses_stream()


def said(up: Upstream, dialect: str) -> list[Any]:
    """What the upstream was last told, as (role, text)."""
    items = up.seen[-1].json["messages" if dialect == "chat" else "input"]
    if isinstance(items, str):
        return [("user", items)]
    return [
        (item["role"], content if isinstance(content := item["content"], str) else content[0]["text"]) for item in items
    ]


async def got(client: Client, known: str, below: str = "") -> Response:
    return await client.get(f"/v1/responses/{known}{below}")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_response_can_be_read_as_it_was_told(
    dialect: str, store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its end is told in another second than it is stored."""
    monkeypatch.setattr(responding, "clock", lambda: 4_000_000_000)

    async def scenario() -> None:
        async with (
            Upstream(plain(dialect), stream(dialect)) as up,
            adapter(upstream(up.url, dialect), store=store) as client,
        ):
            whole = (await client.ask("responses")).json
            told = await client.ask("responses", stream=True)

            assert check_responses(told.events) == []
            ended = told.events[-1]["response"]
            assert whole["store"] is ended["store"] is True
            assert {whole["completed_at"], ended["completed_at"]} == {4_000_000_000}
            assert whole == (await got(client, whole["id"])).json
            assert ended == (await got(client, ended["id"])).json
            assert len({entry["response"]["id"] for entry in told.events if "response" in entry}) == 1
            assert all(seen.json.get("store") in (None, False) for seen in up.seen)

    play(scenario)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_turn_goes_on_from_any_other(dialect: str, store: dict[str, Any]) -> None:
    """Chains and forks; instructions are not inherited."""

    async def scenario() -> None:
        async with Upstream(plain(dialect)) as up, adapter(upstream(up.url, dialect), store=store) as client:
            one = (await client.ask("responses", input="one", instructions="Be brief.")).json
            two = (await client.ask("responses", input="two", previous_response_id=one["id"])).json
            assert said(up, dialect) == [("user", "one"), ("assistant", "Hello"), ("user", "two")]
            assert two["previous_response_id"] == one["id"]
            assert two["instructions"] is None
            await client.ask("responses", input="three", previous_response_id=two["id"])
            assert [text for _, text in said(up, dialect)] == ["one", "Hello", "two", "Hello", "three"]
            other = await client.ask("responses", input="other", previous_response_id=one["id"], store=False)
            assert [text for _, text in said(up, dialect)] == ["one", "Hello", "other"]
            assert (other.json["previous_response_id"], other.json["store"]) == (one["id"], False)

    play(scenario)


@pytest.mark.parametrize("extra", [{"store": False}, {"store": False, "input": [{"role": "user", "content": "Hi"}]}])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_query_for_a_turn_that_needs_no_store(
    dialect: str, stream: bool, extra: dict[str, Any], store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stored, "start", lambda self: None)  # what cleans and works by itself

    async def scenario() -> None:
        reply = responses_stream() if stream else plain("responses")
        if dialect == "chat":
            reply = chat_stream("a") if stream else plain("chat")
        seen: list[str] = []

        def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            seen.append(statement)

        async with Upstream(reply) as up, adapter(upstream(up.url, dialect), store=store) as client:
            await client.get("/v1/responses/resp_1")  # the store is open and at rest
            sqlalchemy_event.listen(Engine, "before_cursor_execute", note)
            try:
                answer = await client.ask("responses", stream=stream, **extra)
                await client.ask("chat", stream=stream)
            finally:
                sqlalchemy_event.remove(Engine, "before_cursor_execute", note)
            assert answer.status == 200
            shown = answer.events[-1]["response"] if stream else answer.json
            assert not shown.get("store")
            assert seen == []

    play(scenario)


def test_references_to_stored_items(store: dict[str, Any]) -> None:
    """As the AI SDK sends its history: by id, typed or not; unknown ones are named."""

    async def scenario() -> None:
        async with Upstream(plain("chat")) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            first = (await client.ask("responses", input="one")).json
            known = first["output"][0]["id"]
            for reference in ({"type": "item_reference", "id": known}, {"id": known}, {"type": None, "id": known}):
                given = [{"role": "user", "content": "one"}, reference, {"role": "user", "content": "two"}]
                answer = await client.ask("responses", input=given)
                assert answer.status == 200
                assert [text for _, text in said(up, "chat")] == ["one", "Hello", "two"]
            listed = (await got(client, answer.json["id"], "/input_items?order=asc")).json
            assert [entry["id"] for entry in listed["data"]][1] == known
            unstored = await client.ask("responses", input=given, store=False)
            assert (unstored.json["store"], [text for _, text in said(up, "chat")]) == (False, ["one", "Hello", "two"])
            unknown = await client.ask("responses", input=[{"type": "item_reference", "id": "msg_nobody"}])
            assert (unknown.status, unknown.json["error"]["param"]) == (404, "input[0]")

    play(scenario)


def test_what_cannot_be_gone_on_from(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream(plain("chat")) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            unknown = await client.ask("responses", previous_response_id="resp_nobody")
            assert (unknown.status, unknown.json["error"]["code"]) == (400, "previous_response_not_found")
            both = await client.ask("responses", previous_response_id="resp_1", conversation="conv_1")
            assert (both.status, both.json["error"]["param"]) == (400, "previous_response_id")
            unstored = (await client.ask("responses", store=False)).json
            again = await client.ask("responses", previous_response_id=unstored["id"])
            assert again.json["error"]["code"] == "previous_response_not_found"
            output = {"type": "function_call_output", "call_id": "call_nobody", "output": "1"}
            first = (await client.ask("responses")).json
            loose = await client.ask("responses", input=[output], previous_response_id=first["id"])
            assert loose.status == 400
            assert len(up.seen) == 2

    play(scenario)


KNOWN = "message.output_text.logprobs"


@pytest.mark.parametrize("name", ["include", "include[]"])
def test_what_can_be_asked_for_to_be_included_is_said_where_something_else_is(name: str, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream(plain("chat")) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            made = (await client.ask("responses")).json
            talk = (await client.post("/v1/conversations", {"items": [{"role": "user", "content": "Hi"}]})).json["id"]
            items = f"/v1/conversations/{talk}/items"
            item = (await client.get(items)).json["data"][0]["id"]
            paths = (f"/v1/responses/{made['id']}", f"/v1/responses/{made['id']}/input_items", items, f"{items}/{item}")
            for path in paths:
                assert (await client.get(f"{path}?{name}={KNOWN}")).status == 200
                wrong = await client.get(f"{path}?{name}={KNOWN}&{name}=everything")
                refused = await client.ask("responses", include=[KNOWN, "everything"])
                assert (wrong.status, wrong.json) == (refused.status, refused.json)
                assert wrong.json["error"]["param"] == "include[1]"
            assert (await client.get(f"{paths[0]}?{name}={KNOWN}")).json == made

    play(scenario)


def test_calls_and_outputs_that_came_without_a_status_are_listed_with_one(store: dict[str, Any]) -> None:
    """Clients need not say it, and lists always do; what goes to the upstream is what came."""

    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    asked = [
        {"role": "user", "content": "one"},
        call,
        {"type": "function_call_output", "call_id": "call_1", "output": "x", "status": None},
        call | {"call_id": "call_2", "status": "incomplete"},
        {"type": "function_call_output", "call_id": "call_2", "output": "y"},
        {"type": "custom_tool_call", "call_id": "call_3", "name": "c", "input": "z"},
        {"type": "custom_tool_call_output", "call_id": "call_3", "output": "z"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
    ]

    async def scenario() -> None:
        async with Upstream(plain("responses")) as up, adapter(upstream(up.url, "responses"), store=store) as client:
            made = (await client.ask("responses", input=asked)).json
            listed = (await got(client, made["id"], "/input_items?order=asc")).json["data"]
            done, cut = "completed", "incomplete"
            assert [entry.get("status") for entry in listed] == [done, done, done, cut, done, done, done, None]
            held = await client.post("/v1/conversations", {"items": asked[1:3]})
            items = (await client.get(f"/v1/conversations/{held.json['id']}/items")).json["data"]
            assert [entry["status"] for entry in items] == [done, done]
            assert up.seen[-1].json["input"][1] == call

    play(scenario)


def test_paths_and_their_aliases(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream(plain("chat")) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            made = (await client.ask("responses", input=[{"role": "user", "content": str(n)} for n in range(5)])).json
            for prefix in ("/v1", "", "/v1/v1"):
                assert (await client.get(f"{prefix}/responses/{made['id']}")).json == made
                counted = await client.post(f"{prefix}/responses/input_tokens", {"model": "m", "input": "Hi"})
                assert counted.json["object"] == "response.input_tokens"
                assert counted.json["input_tokens"] > 0
                assert counted.headers["x-adapter-token-count"] == "estimate"
            page = (await got(client, made["id"], "/input_items?limit=2")).json
            assert [entry["content"][0]["text"] for entry in page["data"]] == ["4", "3"]
            assert page["has_more"] is True
            rest = (await got(client, made["id"], f"/input_items?after={page['last_id']}&include[]={KNOWN}")).json
            assert [entry["content"][0]["text"] for entry in rest["data"]] == ["2", "1", "0"]
            for query in ("limit=0", "limit=101", "limit=x", "order=up", "after=nothing"):
                wrong = await got(client, made["id"], f"/input_items?{query}")
                assert (wrong.status, wrong.json["error"]["param"]) == (400, query.partition("=")[0])
            for name in ("..%2fx", "a" * 5000, "resp_nobody", "%00"):
                assert (await client.get(f"/v1/responses/{name}")).status == 404
            refused = await client.post(f"/v1/responses/{made['id']}/cancel", b"")
            assert refused.status == 400
            assert (await client.request("PUT", f"/v1/responses/{made['id']}")).status == 405
            gone = await client.request("DELETE", f"/v1/responses/{made['id']}")
            assert gone.json == {"id": made["id"], "object": "response", "deleted": True}
            for path in ("", "/input_items"):
                assert (await got(client, made["id"], path)).status == 404
            assert (await client.request("DELETE", f"/v1/responses/{made['id']}")).status == 404

    play(scenario)


def test_a_deleted_response_still_carries_those_that_went_on_from_it(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream(plain("chat")) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            one = (await client.ask("responses", input="one")).json
            two = (await client.ask("responses", input="two", previous_response_id=one["id"])).json
            await client.request("DELETE", f"/v1/responses/{one['id']}")
            await client.ask("responses", input="three", previous_response_id=two["id"])
            assert [text for _, text in said(up, "chat")] == ["one", "Hello", "two", "Hello", "three"]

    play(scenario)


def test_a_store_that_always_keeps(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream(plain("chat")) as up,
            adapter(upstream(up.url, "chat"), store={**store, "mode": "always"}) as client,
        ):
            made = (await client.ask("responses", store=False)).json
            assert made["store"] is True
            assert (await got(client, made["id"])).json == made
            await client.ask("chat")
            assert len((await client.get(PATH["chat"])).json["data"]) == 1

    play(scenario)


def test_an_answer_that_was_refused_leaves_nothing(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        refused = [json_reply({"error": {"message": "no"}}, 400)]
        async with Upstream(refused) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            assert (await client.ask("responses")).status == 400

    play(scenario)
    database = sqlite3.connect(store["url"].removeprefix("sqlite:///"))
    assert database.execute("SELECT count(*) FROM responses").fetchone() == (0,)
    database.close()


def test_a_stream_that_breaks_is_stored_as_failed(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        broken = [SSE, event(chunk({"role": "assistant", "content": "Hal"})), END]
        async with Upstream(broken) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            told = await client.ask("responses", stream=True)
            failed = told.events[-1]
            assert failed["type"] == "response.failed"
            assert failed["response"] == (await got(client, failed["response"]["id"])).json

    play(scenario)


def test_a_client_that_leaves_has_cancelled(store: dict[str, Any]) -> None:
    """What it was told until then is kept, too."""

    async def scenario() -> None:
        slow = [SSE, event(chunk({"role": "assistant", "content": "Hal"})), Stall()]
        async with Upstream(slow) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            reader, writer = await client.open(ask_bytes("responses", stream=True))
            await read_head(reader)
            data = await reader.readuntil(b'"id":"resp_')
            known = "resp_" + (await reader.readuntil(b'"'))[:-1].decode()
            assert data
            assert (await got(client, known)).json["status"] == "in_progress"
            writer.close()
            while (left := (await got(client, known)).json)["status"] == "in_progress":
                await asyncio.sleep(0.05)
            assert left["status"] == "cancelled"
            assert (left["output"][0]["status"], left["output"][0]["content"][0]["text"]) == ("incomplete", "Hal")
            await asyncio.wait_for(up.seen[0].finished.wait(), 5)

    play(scenario)


def test_compaction_goes_on_from_a_stored_response(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream(plain("chat")) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            first = (await client.ask("responses", input="remember the frogs")).json
            made = await client.post("/v1/responses/compact", {"model": "m", "previous_response_id": first["id"]})
            assert made.status == 200
            assert made.json["output"][-1]["type"] == "compaction"
            assert b"frogs" in up.seen[-1].body
            on = await client.ask("responses", input=[*made.json["output"], {"role": "user", "content": "and now?"}])
            assert on.status == 200
            again = await client.ask("responses", input="more", previous_response_id=on.json["id"])
            assert again.status == 200

    play(scenario)


@pytest.mark.parametrize("reply", ["response", "gomodel"])
def test_a_summary_as_text_tells_the_response_that_it_goes_on_from(reply: str, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream(chat_stream("Hello")) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            first = (await client.ask("responses", store=True)).json
            asked = {"model": "m", "previous_response_id": first["id"]}
            made = await client.post("/v1/responses/compact", asked, x_adapter_compact_reply=reply)
            assert made.json["previous_response_id"] == first["id"]

    play(scenario)


@pytest.mark.parametrize(
    ("dialect", "extra"),
    [
        ("responses", {"store": "yes"}),
        ("responses", {"background": "yes"}),
        ("chat", {"store": True, "metadata": "label"}),
    ],
)
def test_what_is_to_be_kept_is_not_guessed(dialect: str, extra: dict[str, Any], store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({})]) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            wrong = await client.ask(dialect, **extra)
            assert (wrong.status, wrong.json["error"]["param"]) == (400, [*extra][-1])
            assert up.seen == []

    play(scenario)
