"""Background responses: nobody waits, everybody can read, and every one of them ends."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from orjson import loads

from adapter.dialects.base import Frame
from adapter.dialects.responses.write_stream import ResponsesWriter
from adapter.errors import BadRequest
from adapter.hub.events import Event, Finished
from adapter.hub.grammar import check_responses
from adapter.server.stored import background, parts
from adapter.server.stored.background import Background
from adapter.server.stored.recording import Recording
from adapter.store.store import Store
from adapter.store.values import LoggedEvent
from tests.server.harness import Client, adapter, ask_bytes, play, read_head, request_bytes, upstream
from tests.server.scripted import (
    SSE,
    Close,
    Script,
    Sleep,
    Stall,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    json_reply,
    response,
)

SLOW: Script = [SSE, event(chunk({"role": "assistant", "content": "Hal"})), Stall()]
SILENT: Script = [SSE, Stall()]


@pytest.fixture
def store(tmp_path: Path) -> dict[str, Any]:
    return {"url": f"sqlite:///{tmp_path}/store.db"}


async def until(client: Client, known: str, *statuses: str) -> dict[str, Any]:
    """The response, once it has one of these statuses."""
    while True:
        shown: dict[str, Any] = (await client.get(f"/v1/responses/{known}")).json
        if shown["status"] in statuses:
            return shown
        await asyncio.sleep(0.02)


async def begun(client: Client, **extra: Any) -> str:
    """The id of a background stream whose client left after the first event."""
    reader, writer = await client.open(ask_bytes("responses", background=True, stream=True, **extra))
    await read_head(reader)
    await reader.readuntil(b'"id":"resp_')
    known = (await reader.readuntil(b'"'))[:-1].decode()
    writer.close()
    return f"resp_{known}"


def test_it_is_queued_and_completes_by_itself(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        slowly = [Sleep(0.1), json_reply(chat_reply())]
        async with Upstream(slowly) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            asked = await client.ask("responses", background=True, metadata={"a": "b"})
            queued = asked.json
            assert (asked.status, queued["status"], queued["output"]) == (200, "queued", [])
            done = await until(client, queued["id"], "completed")
            assert done["output"][0]["content"][0]["text"] == "Hello"
            differ = {"status", "output", "usage", "completed_at"}
            assert {key: value for key, value in done.items() if key not in differ} == {
                key: value for key, value in queued.items() if key not in differ
            }
            assert done["background"] is done["store"] is True
            await client.ask("responses", previous_response_id=done["id"], input="more")
            assert [m["content"] for m in up.seen[-1].json["messages"]] == ["Hi", "Hello", "more"]
            streamed = await client.get(f"/v1/responses/{done['id']}?stream=true")
            assert (streamed.status, streamed.json["error"]["param"]) == (400, "stream")
            assert await stored(store, "SELECT count(*) FROM events") == [0]

    play(scenario)


@pytest.mark.parametrize("speaks", ["chat", "responses"])
@pytest.mark.parametrize("of", ["function", "custom"])
def test_it_calls_tools_where_nobody_streams_it(speaks: str, of: str, store: dict[str, Any]) -> None:
    """An answer that comes whole has no events but its items' ends."""
    said = {"name": "f", "arguments": "{}"} if of == "function" else {"name": "f", "input": "x"}
    tool = {"type": of, "name": "f"} | ({"parameters": {"type": "object"}} if of == "function" else {})
    item = {"type": f"{of}_call" if of == "function" else "custom_tool_call", "call_id": "call_1", **said}
    chosen = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": of, of: said}]}
    replies = {
        "chat": chat_reply(choices=[{"index": 0, "message": chosen, "finish_reason": "tool_calls"}]),
        "responses": response() | {"output": [item]},
    }

    async def scenario() -> None:
        async with (
            Upstream([json_reply(replies[speaks])]) as up,
            adapter(
                upstream(up.url, speaks, profile="openai", capabilities={"stateful": False}), store=store
            ) as client,
        ):
            known = (await client.ask("responses", background=True, tools=[tool])).json["id"]
            done = await until(client, known, "completed", "failed")
            assert (done["status"], done["error"]) == ("completed", None)
            assert [{key: made[key] for key in item} for made in done["output"]] == [item]

    play(scenario)


def test_a_stream_reads_the_same_everywhere_and_from_anywhere(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        slowly: Script = []
        for step in chat_stream(*"abcdefgh"):
            slowly += [step, Sleep(0.03)]
        async with (
            Upstream(slowly) as up,
            adapter(upstream(up.url, "chat"), store=store) as one,
            adapter(upstream(up.url, "chat"), store=store) as other,
        ):
            first = asyncio.ensure_future(one.ask("responses", background=True, stream=True))
            while not (up.seen and (listed := await stored(store, "SELECT id FROM responses"))):
                await asyncio.sleep(0.02)
            path = f"/v1/responses/{listed[0]}?stream=true"
            followed = await asyncio.gather(one.get(path), other.get(path), other.get(f"{path}&starting_after=2"))
            told = await first
            assert check_responses(told.events) == []
            assert [entry["sequence_number"] for entry in told.events] == list(range(len(told.events)))
            assert told.types[:3] == ["response.created", "response.queued", "response.in_progress"]
            assert told.events[-1]["response"] == (await other.get(f"/v1/responses/{listed[0]}")).json
            assert [answer.body for answer in followed[:2]] == [told.body, told.body]
            assert followed[2].events == told.events[3:]
            for after in range(len(told.events) + 2):
                again = await other.get(f"{path}&starting_after={after}")
                assert again.whole
                assert again.events == told.events[after + 1 :]
            assert len(up.seen) == 1

    play(scenario)


async def stored(store: dict[str, Any], question: str) -> list[Any]:
    """What the database holds, asked past the adapter."""
    database = sqlite3.connect(store["url"].removeprefix("sqlite:///"))
    found = [row[0] for row in database.execute(question)]
    database.commit()
    database.close()
    return found


def test_a_mistake_of_this_server_in_its_last_events_fails_it(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ResponsesWriter.feed

    def broken(writer: ResponsesWriter, event: Event, choice: int = 0) -> list[Frame]:
        if isinstance(event, Finished):
            raise KeyError("CANARY")
        return real(writer, event, choice)

    monkeypatch.setattr(ResponsesWriter, "feed", broken)

    async def scenario() -> None:
        async with Upstream(chat_stream("Hello")) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            known = await begun(client)
            failed = await until(client, known, "failed")
            assert failed["error"]["message"] == "This server made a mistake; it has been logged."
            told = await client.get(f"/v1/responses/{known}?stream=true")
            assert check_responses(told.events) == []
            assert told.events[-1]["response"] == failed

    play(scenario, defects=1)


def test_it_goes_on_without_its_client(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        slowly = [Sleep(0.2), *chat_stream("a", "b")]
        async with Upstream(slowly) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            known = await begun(client)
            done = await until(client, known, "completed", "failed")
            assert done["output"][0]["content"][0]["text"] == "ab"

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_a_process_that_stops_gives_it_back(stream: bool, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        again = chat_stream("a", "b") if stream else [json_reply(chat_reply("ab"))]
        async with Upstream(SILENT, again) as up:
            async with adapter(upstream(up.url, "chat", api_key="sk-own"), store=store) as client:
                if stream:
                    known = await begun(client)
                else:
                    known = (await client.ask("responses", background=True)).json["id"]
                while not up.seen:
                    await asyncio.sleep(0.02)
            async with adapter(upstream(up.url, "chat", api_key="sk-own"), store=store) as client:
                done = await until(client, known, "completed", "failed")
                assert done["output"][0]["content"][0]["text"] == "ab"
                if stream:
                    told = await client.get(f"/v1/responses/{known}?stream=true")
                    assert check_responses(told.events) == []
                    assert told.events[-1]["response"] == done
            assert len(up.seen) == 2

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_however_many_processes_stop_in_turn_it_is_made_by_the_one_that_stays(
    stream: bool, store: dict[str, Any]
) -> None:
    """A rolling deploy: nobody's attempt has failed."""

    async def scenario() -> None:
        again = chat_stream("a", "b") if stream else [json_reply(chat_reply("ab"))]
        async with Upstream(*[SILENT] * 4, again) as up:
            own = upstream(up.url, "chat", api_key="sk-own")
            async with adapter(own, store=store) as client:
                known = await begun(client) if stream else (await client.ask("responses", background=True)).json["id"]
                while not up.seen:
                    await asyncio.sleep(0.02)
            for asked in range(2, 5):
                async with adapter(own, store=store):
                    while len(up.seen) < asked:
                        await asyncio.sleep(0.02)
            async with adapter(own, store=store) as client:
                done = await until(client, known, "completed", "failed")
                assert done["output"][0]["content"][0]["text"] == "ab"

    play(scenario)


def test_what_was_said_where_nobody_could_read_it_is_begun_again(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a stream only the whole response is told."""

    async def scenario() -> None:
        said = asyncio.Event()
        real = Recording.feed

        def feed(recording: Recording, events: list[Event]) -> None:
            real(recording, events)
            if recording.said:
                said.set()

        monkeypatch.setattr(Recording, "feed", feed)
        async with Upstream(SLOW, [json_reply(chat_reply("ab"))]) as up:
            section = upstream(up.url, "chat", api_key="none")
            async with adapter(section, store=store) as client:
                known = (await client.ask("responses", background=True)).json["id"]
                await said.wait()
            async with adapter(section, store=store) as client:
                done = await until(client, known, "completed", "failed")
                assert done["output"][0]["content"][0]["text"] == "ab"

    play(scenario)


def test_a_stream_that_was_read_is_not_begun_again(store: dict[str, Any]) -> None:
    """Two answers under one id would contradict each other: it ends as failed, and says so."""

    async def scenario() -> None:
        async with Upstream(SLOW) as up:
            async with adapter(upstream(up.url, "chat", api_key="none"), store=store) as client:
                known = await begun(client)
                await _read_some(client, known)
            async with adapter(upstream(up.url, "chat", api_key="none"), store=store) as client:
                failed = await until(client, known, "completed", "failed")
                assert failed["status"] == "failed"
                assert failed["output"][0]["content"][0]["text"]
                told = await client.get(f"/v1/responses/{known}?stream=true")
                assert told.events[-1]["response"] == failed
                assert told.types[-2:] == ["error", "response.failed"]
                assert told.events[-2]["code"] == "server_shutting_down"
                assert check_responses(told.events) == []
            assert len(up.seen) == 1

    play(scenario)


async def _read_some(client: Client, known: str) -> None:
    """Until text was told."""
    reader, writer = await client.open(request_bytes("GET", f"/v1/responses/{known}?stream=true"))
    await reader.readuntil(b"output_text.delta")
    writer.close()


@pytest.mark.parametrize(
    ("key", "code"), [("client", "server_restarted"), ("none", "context_length_exceeded")], ids=["lost_key", "refused"]
)
def test_who_goes_on_with_it_and_fails_ends_its_stream_behind_what_was_logged(
    key: str, code: str, store: dict[str, Any]
) -> None:
    """That it is in progress was told already, under the number that the first event of the failure would have."""

    async def scenario() -> None:
        opened: Script = [SSE, event(chunk({"role": "assistant", "content": ""})), Stall()]
        refused = [json_reply({"error": {"message": "full", "code": "context_length_exceeded"}}, 400)]
        async with Upstream(opened, refused) as up:
            section = upstream(up.url, "chat", api_key=key)
            async with adapter(section, store=store) as client:
                asked = ask_bytes("responses", background=True, stream=True)
                reader, writer = await client.open(asked.replace(b"host", b"authorization: Bearer sk-1\r\nhost"))
                read = await reader.readuntil(b"response.in_progress")
                known = "resp_" + read.partition(b'"id":"resp_')[2].partition(b'"')[0].decode()
                writer.close()
            async with adapter(section, store=store) as client:
                failed = await until(client, known, "failed")
                told = await client.get(f"/v1/responses/{known}?stream=true")
                assert told.events[-2]["code"] == code
                assert told.events[-1]["response"] == failed
                assert told.types[1:] == ["response.queued", "response.in_progress", "error", "response.failed"]
                assert check_responses(told.events) == []

    play(scenario)


@pytest.mark.parametrize("logged", [-1, 1, 2])
def test_a_failure_before_there_is_an_answer_goes_on_with_the_numbers_of_what_was_logged(logged: int) -> None:
    made = {"id": "resp_1", "object": "response", "status": "queued", "output": []}
    recording = Recording(made, None, streamed=True, logged=logged)  # type: ignore[arg-type]
    recording.fail(BadRequest("No.", code="why", param="where"))
    assert recording.end is not None
    frames, failed = recording.end
    told = [loads(frame.data) for frame in frames]
    created = [{"type": "response.created", "response": made}] if logged < 0 else []
    numbers = list(range(logged + 1, logged + 3 + len(created)))
    assert [frame.sequence for frame in frames] == [entry.pop("sequence_number") for entry in told] == numbers
    assert told[:-2] == created
    assert told[-2].items() >= {"type": "error", "code": "why", "message": "No.", "param": "where"}.items()
    assert told[-1] == {"type": "response.failed", "response": failed}
    assert failed["status"] == "failed"


@pytest.mark.parametrize(("logged", "ends"), [(0, "completed"), (3, "completed"), (5, "failed")])
def test_a_process_that_died_is_noticed_by_its_lease(
    logged: int, ends: str, store: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with Upstream(SILENT, chat_stream("a")) as up:
            async with adapter(upstream(up.url, "chat", api_key="none"), store=store) as client:
                known = await begun(client)
            dead = Store(store["url"])
            job = await dead.claim("dead", lease=0.3, only=("default", known))
            assert job is not None
            page = await dead.events_after("default", known, -1)
            assert page is not None
            more = [LoggedEvent(number, "x", b'{"type":"x","sequence_number":%d}' % number) for number in range(logged)]
            await dead.append_events(job, more, lease=0.3)
            await dead.close()
            async with adapter(upstream(up.url, "chat", api_key="none"), store=store) as client:
                done = await until(client, known, "completed", "failed")
                assert done["status"] == ends
                told = await client.get(f"/v1/responses/{known}?stream=true")
                assert [entry["sequence_number"] for entry in told.events] == list(range(len(told.events)))
                assert told.events[-1]["type"] == f"response.{ends}"
                assert told.events[-1]["response"] == done

    play(scenario)
    lines = [line for line in map(loads, capfd.readouterr().out.splitlines()) if line.get("lane") == "background"]
    assert lines[-1]["outcome"] == ("ok" if ends == "completed" else "failed")


def test_a_worker_that_has_lost_it_to_another_one_stops_and_adds_nothing(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        slowly: Script = [SSE, event(chunk({"content": "a"})), Sleep(0.5), event(chunk({"content": "b"})), Stall()]
        async with Upstream(slowly) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            known = await begun(client)
            await _read_some(client, known)
            await stored(store, "UPDATE responses SET lease_owner = 'another'")
            logged = await stored(store, "SELECT count(*) FROM events")
            await asyncio.wait_for(up.seen[0].finished.wait(), 5)
            assert await stored(store, "SELECT count(*) FROM events") == logged
            assert await stored(store, "SELECT status FROM responses") == ["in_progress"]

    play(scenario)


def test_a_callers_key_is_nowhere_but_in_memory(store: dict[str, Any], tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Upstream(SILENT) as up:
            async with adapter(upstream(up.url, "chat"), store=store) as client:
                headers = {"authorization": "Bearer sk-very-secret", "cookie": "sk-very-secret"}
                asked = await client.ask("responses", background=True, headers=headers)
                while not up.seen:
                    await asyncio.sleep(0.02)
                assert up.seen[0].headers["authorization"] == "Bearer sk-very-secret"
                for file in tmp_path.iterdir():
                    assert b"sk-very-secret" not in file.read_bytes()
            async with adapter(upstream(up.url, "chat"), store=store) as client:
                failed = await until(client, asked.json["id"], "failed")
                assert "send the request again" in failed["error"]["message"]
            assert len(up.seen) == 1

    play(scenario)


def test_what_is_still_being_made_cannot_be_continued_yet(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream(SILENT, [json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat"), store=store) as client,
        ):
            known = (await client.ask("responses", background=True)).json["id"]
            on = await client.ask("responses", previous_response_id=known)
            assert (on.status, on.json["error"]["code"]) == (400, "response_in_progress")
            await client.post(f"/v1/responses/{known}/cancel", b"")
            assert (await client.ask("responses", previous_response_id=known)).status == 200
            assert len(up.seen) == 2

    play(scenario)


def test_cancelled(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream(SLOW) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            known = await begun(client)
            await _read_some(client, known)
            following = asyncio.ensure_future(client.get(f"/v1/responses/{known}?stream=true"))
            first = await client.post(f"/v1/responses/{known}/cancel", b"")
            again = await client.post(f"/v1/responses/{known}/cancel", b"")
            assert first.json["status"] == "cancelled"
            assert first.json == again.json == (await client.get(f"/v1/responses/{known}")).json
            told = await following
            assert told.types[-1] == "response.cancelled"
            assert told.events[-1]["response"] == first.json
            resumed = await client.get(f"/v1/responses/{known}?stream=true&starting_after={len(told.events) - 2}")
            assert resumed.events == told.events[-1:]
            async with asyncio.timeout(2):
                await up.seen[0].finished.wait()

    play(scenario)


def test_what_others_gave_back_is_worked_on_a_few_at_a_time_to_the_last(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(background, "_AT_ONCE", 1)
    monkeypatch.setattr(parts, "Background", partial(Background, poll=0.02))

    async def scenario() -> None:
        async with Upstream([Stall()], [Stall()], [Stall()], [json_reply(chat_reply("ab"))]) as up:
            section = upstream(up.url, "chat", api_key="none")
            async with adapter(section, store=store) as client:
                known = [(await client.ask("responses", background=True)).json["id"] for _ in range(3)]
                while len(up.seen) < 3:
                    await asyncio.sleep(0.02)
            async with adapter(section, store=store) as client:
                for each in known:
                    assert (await until(client, each, "completed", "failed"))["error"] is None

    play(scenario)
    lines = [line for line in map(loads, capfd.readouterr().out.splitlines()) if line["event"] == "request"]
    accepted = [line["request_id"] for line in lines if line["lane"] == "hub"]
    assert sorted(line["request_id"] for line in lines if line["lane"] == "background") == sorted(accepted * 2)


def test_it_is_asked_of_whom_its_client_named(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with (
            Upstream() as first,
            Upstream([json_reply(chat_reply())]) as second,
            adapter(
                upstream(first.url, "chat", "first"), upstream(second.url, "chat", "second"), store=store
            ) as client,
        ):
            known = (await client.ask("responses", background=True, provider="second")).json["id"]
            assert (await until(client, known, "completed", "failed"))["error"] is None
            assert (len(first.seen), len(second.seen)) == (0, 1)

    play(scenario)


@pytest.mark.parametrize("said", [{}, {"provider": {"order": ["a"]}}], ids=["nothing", "what its upstream understands"])
def test_who_goes_on_with_it_asks_its_own_upstreams(said: dict[str, Any], store: dict[str, Any]) -> None:
    """A deploy that calls its upstream otherwise: the client had named none."""

    async def scenario() -> None:
        async with Upstream(SILENT) as old, Upstream([json_reply(response("ab"))]) as new:
            async with adapter(upstream(old.url, "responses", "old", api_key="sk-own"), store=store) as client:
                known = (await client.ask("responses", background=True, **said)).json["id"]
                while not old.seen:
                    await asyncio.sleep(0.02)
            async with adapter(upstream(new.url, "responses", "new", api_key="sk-own"), store=store) as client:
                done = await until(client, known, "completed", "failed")
                assert done["error"] is None
                assert new.seen[0].json.get("provider") == said.get("provider")

    play(scenario)


def test_deleted_before_it_is_begun(store: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the claim and the look at what was claimed."""
    claim = Store.claim
    over = asyncio.Event()

    async def late(self: Store, *args: Any, **more: Any) -> Any:
        job = await claim(self, *args, **more)
        if job is not None:
            assert await self.delete_response(job.tenant, job.id)
        return job

    monkeypatch.setattr(Store, "claim", late)
    ended = Background._ended
    monkeypatch.setattr(Background, "_ended", lambda *given: (ended(*given), over.set()))

    async def scenario() -> None:
        async with Upstream() as up, adapter(upstream(up.url, "chat"), store=store) as client:
            known = (await client.ask("responses", background=True)).json["id"]
            await over.wait()
            assert (await client.get(f"/v1/responses/{known}")).status == 404
            assert up.seen == []

    play(scenario)


@pytest.mark.parametrize("gone", ["deleted", "expired"])
def test_what_it_goes_on_from_is_gone_before_it_is_begun(
    gone: str, store: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As when it had to wait for another process: it was accepted, and has its history."""
    claim = Store.claim
    earlier = ""

    async def late(self: Store, *args: Any, **more: Any) -> Any:
        job = await claim(self, *args, **more)
        if job is not None and gone == "deleted":
            assert await self.delete_response(job.tenant, earlier)
        elif job is not None:
            with sqlite3.connect(store["url"].removeprefix("sqlite:///")) as database:
                database.execute("UPDATE responses SET expires_at = 0 WHERE id = ?", [earlier])
        return job

    monkeypatch.setattr(Store, "claim", late)

    async def scenario() -> None:
        nonlocal earlier
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            earlier = (await client.ask("responses", input="one")).json["id"]
            asked = await client.ask("responses", input="two", background=True, previous_response_id=earlier)
            done = await until(client, asked.json["id"], "completed", "failed")
            assert (done["status"], done["error"]) == ("completed", None)
            assert done["previous_response_id"] == earlier
            assert [m["content"] for m in up.seen[-1].json["messages"]] == ["one", "Hello", "two"]
            assert (await client.get(f"/v1/responses/{earlier}")).status == 404
            assert (await client.ask("responses", previous_response_id=earlier)).status == 400

    play(scenario)
    lines = [line for line in map(loads, capfd.readouterr().out.splitlines()) if line.get("lane") == "background"]
    assert [line.get("socket") for line in lines] == [None]


def test_deleted_while_it_runs(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream(SLOW) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            known = await begun(client)
            await _read_some(client, known)
            await client.request("DELETE", f"/v1/responses/{known}")
            async with asyncio.timeout(2):
                await up.seen[0].finished.wait()
            assert (await client.get(f"/v1/responses/{known}")).status == 404

    play(scenario)


def test_its_access_line_says_how_far_it_got_and_what_was_mended(
    store: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        unmetered = {key: value for key, value in chat_reply().items() if key != "usage"}
        refused = json_reply({"error": {"message": "full", "code": "context_length_exceeded"}}, 400)
        async with (
            Upstream([json_reply(unmetered)], [refused], [*SLOW[:-1], Close()], SILENT, SLOW) as up,
            adapter(upstream(up.url, "chat"), store=store) as client,
        ):
            for status in ("completed", "failed", "failed"):
                known = (await client.ask("responses", background=True)).json["id"]
                await until(client, known, status)
            await client.post(f"/v1/responses/{await begun(client)}/cancel", b"")
            known = await begun(client)
            await _read_some(client, known)
            await client.post(f"/v1/responses/{known}/cancel", b"")

    play(scenario)
    lines = [line for line in map(loads, capfd.readouterr().out.splitlines()) if line["lane"] == "background"]
    assert [line["phase"] for line in lines] == ["end", "upstream", "answer", "upstream", "answer"]
    assert [line["outcome"] for line in lines] == ["ok", "failed", "failed", "cancelled", "cancelled"]
    assert [line["status"] for line in lines] == [None, None, None, 499, 499]
    assert lines[0]["anomalies"] == ["usage_estimated"]
    assert ["first_event_ms" in line for line in lines] == [True, False, True, False, True]


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_refuses_is_told_by_the_response(stream: bool, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        refused = [json_reply({"error": {"message": "full", "code": "context_length_exceeded"}}, 400)]
        async with Upstream(refused) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            if stream:
                told = await client.ask("responses", background=True, stream=True)
                assert check_responses(told.events) == []
                assert told.types == ["response.created", "response.queued", "error", "response.failed"]
                known = told.events[0]["response"]["id"]
            else:
                known = (await client.ask("responses", background=True)).json["id"]
            failed = await until(client, known, "failed")
            assert failed["error"]["code"] == "context_length_exceeded"

    play(scenario)


def test_what_cannot_be_done_in_the_background(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up:
            async with adapter(upstream(up.url, "chat"), store=store) as client:
                unstored = await client.ask("responses", background=True, store=False)
                assert (unstored.status, unstored.json["error"]["param"]) == (400, "background")
                wrong = await client.ask("responses", background=True, input=[{"type": "message", "role": "x"}])
                assert wrong.status == 400
            async with adapter(upstream(up.url, "chat")) as client:
                off = await client.ask("responses", background=True)
                assert off.status == 400
            assert up.seen == []

    play(scenario)
