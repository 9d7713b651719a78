"""Retry and failover on real sockets: before the first event another target answers, behind it nobody does."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.server.harness import Client, Response, adapter, ask_bytes, play, upstream
from tests.server.scripted import (
    END,
    SSE,
    Close,
    Reset,
    Script,
    Sleep,
    Stall,
    Until,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    head,
    json_reply,
    piece,
    response,
    responses_stream,
)
from tests.server.test_lanes import access_lines
from tests.server.test_upstream_faults import GOOD_PLAIN, GOOD_STREAM, REFUSALS, cells, refused, says_hello

QUOTA = {
    "error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}
}
LIMIT = {"error": {"message": "Slow down", "type": "requests", "code": "rate_limit_exceeded", "param": None}}
SICK = {"error": {"message": "The engine is overloaded", "type": "server_error", "code": None, "param": None}}
ERROR_FIRST = {
    "chat": [SSE, event(SICK), END],
    "responses": [
        SSE,
        event({"type": "error", "sequence_number": 0, "message": "x", "code": None, "param": None}),
        END,
    ],
}

ELSEWHERE: dict[str, Script] = {
    **{name: script for name, script, _, _ in REFUSALS},
    "c8_a_stall_before_the_head": [Stall()],
    "c10_a_refused_key_of_ours": [json_reply({"error": {"message": "no", "code": "invalid_api_key"}}, 401)],
    "c11_no_such_model": [
        json_reply({"error": {"message": "The model does not exist", "code": "model_not_found"}}, 404)
    ],
    "c12_409": [json_reply({"error": {"message": "conflict"}}, 409)],
    "c14_a_rate_limit": [json_reply(LIMIT, 429, "retry-after: 7")],
    "c15_a_spent_quota": [json_reply(QUOTA, 429)],
    "c16_500": [json_reply(SICK, 500)],
    "c16_503": [json_reply(SICK, 503)],
    "c16_529": [json_reply(SICK, 529)],
    "c18_a_5xx_without_a_body": [head(502, length=0)],
    "c20_an_error_inside_a_200": [json_reply({"error": SICK["error"]})],
    "d45_a_stream_that_ends_before_it_begins": [SSE, END],
}


def good(dialect: str, stream: bool) -> Script:
    return GOOD_STREAM[dialect]() if stream else [json_reply(GOOD_PLAIN[dialect]())]


@pytest.mark.parametrize("name", ELSEWHERE)
@cells
def test_what_fails_before_the_first_event_is_answered_elsewhere(
    client_speaks: str, upstream_speaks: str, stream: bool, name: str
) -> None:
    async def scenario() -> None:
        async with Upstream(ELSEWHERE[name]) as sick, Upstream(good(upstream_speaks, stream)) as well:
            first = upstream(sick.url, upstream_speaks, "sick", api_key="sk-own-1", first_byte_timeout=0.5)
            second = upstream(well.url, upstream_speaks, "well", api_key="sk-own-2")
            async with adapter(first, second) as client:
                says_hello(client_speaks, stream, await client.ask(client_speaks, stream=stream))
                assert len(sick.seen) == 1
                assert well.seen[0].headers["authorization"] == "Bearer sk-own-2"

    play(scenario)


@cells
def test_an_error_as_the_first_event_can_still_fail_over(
    client_speaks: str, upstream_speaks: str, stream: bool
) -> None:
    async def scenario() -> None:
        async with (
            Upstream(ERROR_FIRST[upstream_speaks]) as sick,
            Upstream(good(upstream_speaks, stream)) as well,
            adapter(upstream(sick.url, upstream_speaks, "a"), upstream(well.url, upstream_speaks, "b")) as client,
        ):
            says_hello(client_speaks, stream, await client.ask(client_speaks, stream=stream))

    play(scenario)


BEGUN: list[dict[str, Any]] = [
    {"type": kind, "response": response() | {"status": "in_progress", "output": [], "usage": None}}
    for kind in ("response.created", "response.queued", "response.in_progress")
]
OVERLOADED = {"code": "server_is_overloaded", "message": "Our servers are currently overloaded."}
USED_UP = {"code": "rate_limit_exceeded", "message": "Rate limit reached."}
FAILS = {
    "failed": [
        {"type": "response.failed", "response": BEGUN[0]["response"] | {"status": "failed", "error": OVERLOADED}}
    ],
    "an_error_and_failed": [
        {"type": "error", "message": "x", "code": "server_is_overloaded", "param": None},
        {"type": "response.failed", "response": BEGUN[0]["response"] | {"status": "failed", "error": OVERLOADED}},
    ],
    "an_error_alone": [{"type": "error", "message": "x", "code": "server_is_overloaded", "param": None}],
    "failed_with_its_usage": [
        {
            "type": "response.failed",
            "response": BEGUN[0]["response"]
            | {
                "status": "failed",
                "error": OVERLOADED,
                "usage": {"input_tokens": 3, "output_tokens": 0, "total_tokens": 3},
            },
        }
    ],
    "a_limit": [{"type": "response.failed", "response": BEGUN[0]["response"] | {"status": "failed", "error": USED_UP}}],
    "nothing": [],
}
"""What OpenAI says behind `response.created` and `response.in_progress` where a model is overloaded."""


def only_begun(name: str, beginnings: int) -> Script:
    events = [*BEGUN[:beginnings], *FAILS[name]]
    return [SSE, *(event(one | {"sequence_number": at}, one["type"]) for at, one in enumerate(events)), END]


@pytest.mark.parametrize("beginnings", [1, 3])
@pytest.mark.parametrize("name", FAILS)
@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_what_only_said_that_it_began_is_answered_elsewhere(client_speaks: str, name: str, beginnings: int) -> None:
    async def scenario() -> None:
        async with Upstream(only_begun(name, beginnings)) as sick, Upstream(good("responses", True)) as well:
            first, second = upstream(sick.url, "responses", "sick"), upstream(well.url, "responses", "well")
            async with adapter(first, second) as client:
                answer = await client.ask(client_speaks, stream=True)
                says_hello(client_speaks, True, answer)
                assert answer.body.count(b'"type":"response.created"') == (client_speaks == "responses")
                assert len(sick.seen) == len(well.seen) == 1

    play(scenario)


@pytest.mark.parametrize(("name", "status"), [("failed", 503), ("a_limit", 429), ("nothing", 502)])
@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_where_nobody_else_answers_it_is_a_status(client_speaks: str, name: str, status: int) -> None:
    async def scenario() -> None:
        async with Upstream(only_begun(name, 2)) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask(client_speaks, stream=True)
            assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
            assert answer.json["error"]["message"]

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_an_error_behind_the_beginning_is_told_though_the_stream_stays_open(client_speaks: str) -> None:
    async def scenario() -> None:
        script = [*only_begun("an_error_alone", 1)[:-1], Stall()]
        async with Upstream(script) as up, adapter(upstream(up.url, "responses"), settle_within=0.2) as client:
            async with asyncio.timeout(5):
                answer = await client.ask(client_speaks, stream=True)
            assert (answer.status, answer.json["error"]["message"]) == (503, "x")

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_what_was_said_before_another_beginning_does_not_wait(client_speaks: str) -> None:
    async def scenario() -> None:
        begun = responses_stream()
        again = event(BEGUN[2] | {"sequence_number": 9}, "response.in_progress")
        release = asyncio.Event()
        together = b"".join(step for step in begun[1:6] if isinstance(step, bytes)) + again
        async with Upstream([SSE, together, Until(release), *begun[6:]]) as up:
            async with adapter(upstream(up.url, "responses")) as client:
                reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
                writer.write(ask_bytes(client_speaks, stream=True))
                async with asyncio.timeout(5):
                    await reader.readuntil(b"Hello")
                release.set()
                writer.close()

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_a_stream_that_thinks_long_behind_its_beginning_has_its_status_in_time(client_speaks: str) -> None:
    """And then loses nothing of it."""

    async def scenario() -> None:
        begun = good("responses", True)
        release = asyncio.Event()
        script = [*begun[:3], Until(release), *begun[3:]]
        async with Upstream(script) as up, adapter(upstream(up.url, "responses"), commit_after=0.1) as client:
            asked = asyncio.ensure_future(client.ask(client_speaks, stream=True))
            await asyncio.sleep(0.4)
            release.set()
            answer = await asked
            says_hello(client_speaks, True, answer)
            assert answer.body.startswith(b":")
            if client_speaks == "responses":
                assert answer.types[:3] == ["response.created", "response.in_progress", "response.output_item.added"]

    play(scenario)


def test_a_background_stream_gives_its_id_at_once() -> None:
    """A client that breaks off goes on by it, however long the answer waits in a queue."""

    async def scenario() -> None:
        begun = good("responses", True)
        release = asyncio.Event()
        async with (
            Upstream([*begun[:2], Until(release), *begun[2:]]) as up,
            adapter(upstream(up.url, "responses", profile="openai")) as client,
        ):
            raw = ask_bytes("responses", stream=True, background=True)
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(raw)
            async with asyncio.timeout(5):
                assert b"resp_up1" in await reader.readuntil(b'"response.created"') + await reader.read(2_000)
            release.set()
            writer.close()

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_events_without_a_choice_are_no_answer_yet(client_speaks: str) -> None:
    script = [SSE, event({"choices": []}), event({"queue": 1}), event(b"[DONE]"), END]

    async def scenario() -> None:
        async with (
            Upstream(script) as sick,
            Upstream(good("chat", True)) as well,
            adapter(upstream(sick.url, "chat", "a"), upstream(well.url, "chat", "b")) as client,
        ):
            says_hello(client_speaks, True, await client.ask(client_speaks, stream=True))
            assert len(sick.seen) == 1

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("first", ["keepalive", "codex.rate_limits"])
def test_events_that_tell_of_no_response_are_no_answer_yet(client_speaks: str, first: str) -> None:
    """OpenAI's, and those of ChatGPT, come before the `response.created`."""
    script = [SSE, event({"type": first}, first), event({"type": "error", "message": "x", "code": None}), END]

    async def scenario() -> None:
        async with (
            Upstream(script) as sick,
            Upstream(good("responses", True)) as well,
            adapter(upstream(sick.url, "responses", "a"), upstream(well.url, "responses", "b")) as client,
        ):
            answer = await client.ask(client_speaks, stream=True)
            says_hello(client_speaks, True, answer)
            assert first.encode() not in answer.body
            assert len(sick.seen) == 1

    play(scenario)


def test_an_event_that_tells_of_no_response_reaches_the_client_before_it() -> None:
    begun, *rest = responses_stream()
    script = [begun, event({"type": "codex.rate_limits", "plan": "x"}, "codex.rate_limits"), *rest]

    async def scenario() -> None:
        async with Upstream(script) as up, adapter(upstream(up.url, "responses")) as client:
            answer = await client.ask("responses", stream=True)
            assert answer.types[:2] == ["codex.rate_limits", "response.created"]
            assert answer.types[-1] == "response.completed"

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_whole_response_that_says_that_it_failed_is_answered_elsewhere(client_speaks: str, stream: bool) -> None:
    """Nothing of it was told yet: that it has the form of an answer makes it none."""

    async def scenario() -> None:
        failed = response() | {"status": "failed", "output": [], "error": {"code": "server_error", "message": "x"}}
        async with Upstream([json_reply(failed)]) as sick, Upstream(good("responses", stream)) as well:
            first, second = upstream(sick.url, "responses", "sick"), upstream(well.url, "responses", "well")
            async with adapter(first, second) as client:
                says_hello(client_speaks, stream, await client.ask(client_speaks, stream=stream))
                assert len(sick.seen) == 1
            async with adapter(first) as client:
                alone = await client.ask(client_speaks, stream=stream)
                assert (alone.status, alone.json["error"]["message"]) == (502, "x")

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("code", ["invalid_image_url", "bio_policy"])
def test_a_whole_response_that_failed_for_what_its_client_sent_is_that_clients(code: str, stream: bool) -> None:
    """The upstream is well: nobody else is asked, and the next client's request gets there."""

    async def scenario() -> None:
        failed = response() | {"status": "failed", "output": [], "error": {"code": code, "message": "x"}}
        scripts = [*[[json_reply(failed)]] * 10, good("responses", stream)]
        async with Upstream(*scripts) as well, Upstream(good("responses", stream)) as other:
            sections = upstream(well.url, "responses", "well"), upstream(other.url, "responses", "other")
            async with adapter(*sections) as client:
                for _ in range(10):
                    answer = await client.ask("chat", stream=stream)
                    assert (answer.status, answer.json["error"]["code"]) == (400, code)
                says_hello("chat", stream, await client.ask("chat", stream=stream))
                assert (len(well.seen), len(other.seen)) == (11, 0)

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("first", "second"), [("chat", "responses"), ("responses", "chat")])
def test_the_next_target_may_speak_the_other_dialect(client_speaks: str, stream: bool, first: str, second: str) -> None:
    """From the raw lane to the hub and back: the course is decided again."""

    async def scenario() -> None:
        async with Upstream([json_reply(SICK, 503)]) as sick, Upstream(good(second, stream)) as well:
            sections = upstream(sick.url, first, "a"), upstream(well.url, second, "b", aliases={"m": "other-name"})
            async with adapter(*sections) as client:
                answer = await client.ask(
                    client_speaks,
                    stream=stream,
                    temperature=0.5,
                    logit_bias={"1": 1} if client_speaks == "chat" else None,
                )
                says_hello(client_speaks, stream, answer)
                assert well.seen[0].json["model"] == "other-name"
                assert well.seen[0].json["temperature"] == 0.5

    play(scenario)


@cells
def test_c9_the_clients_own_fault_is_not_tried_elsewhere(
    client_speaks: str, upstream_speaks: str, stream: bool
) -> None:
    async def scenario() -> None:
        wrong = json_reply({"error": {"message": "temperature is too hot", "param": "temperature"}}, 400)
        async with (
            Upstream([wrong]) as one,
            Upstream([wrong]) as two,
            adapter(upstream(one.url, upstream_speaks, "a"), upstream(two.url, upstream_speaks, "b")) as client,
        ):
            answer = await client.ask(client_speaks, stream=stream)
            refused(answer, 400)
            assert "x-should-retry" not in answer.headers
            assert (len(one.seen), len(two.seen)) == (1, 0)

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("upstream_speaks", ["chat", "responses"])
def test_behind_the_first_event_nothing_is_tried_again(client_speaks: str, upstream_speaks: str) -> None:
    begun = [SSE, event(chunk({"role": "assistant", "content": "Hel"})), Sleep(0.05), Reset()]
    if upstream_speaks == "responses":
        begun = [*responses_stream()[:5], Sleep(0.05), Reset()]

    async def scenario() -> None:
        async with (
            Upstream(begun) as one,
            Upstream(good(upstream_speaks, True)) as two,
            adapter(upstream(one.url, upstream_speaks, "a"), upstream(two.url, upstream_speaks, "b")) as client,
        ):
            answer = await client.ask(client_speaks, stream=True)
            assert (answer.status, len(two.seen)) == (200, 0)
            assert b"error" in answer.body

    play(scenario)


def test_what_only_the_failed_target_would_have_lost_is_not_told() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(SICK, 503)]) as first,
            Upstream([json_reply(chat_reply())]) as second,
            adapter(upstream(first.url, "responses", "first"), upstream(second.url, "chat", "second")) as client,
        ):
            found = await client.ask("chat", seed=4)
            assert (found.status, len(first.seen), "x-adapter-losses" in found.headers) == (200, 1, False)

    play(scenario)


def test_the_access_line_says_who_was_tried_where_that_were_several(capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(SICK, 503)]) as first,
            Upstream([json_reply(chat_reply())]) as second,
            adapter(upstream(first.url, "chat", "first"), upstream(second.url, "chat", "second")) as client,
        ):
            assert (await client.ask("chat")).status == 200

    play(scenario)
    (line,) = access_lines(capfd)
    assert (line["upstream"], line["tried"]) == ("second", ["first:broken", "second:ok"])


def test_when_all_fail_the_last_one_is_told_and_the_client_is_asked_not_to_multiply_it() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(SICK, 500)]) as one,
            Upstream([json_reply(LIMIT, 429, "retry-after: 7", "x-ratelimit-limit-requests: 9")]) as two,
        ):
            sections = [upstream(u.url, "chat", name, api_key="sk-own") for u, name in ((one, "a"), (two, "b"))]
            async with adapter(*sections) as client:
                answer = await client.ask("chat")
                refused(answer, 429, "rate_limit_exceeded")
                assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("7", "false")
                assert answer.headers["x-ratelimit-limit-requests"] == "9"

    play(scenario)


def test_c14_a_limited_target_is_left_alone_as_long_as_it_said() -> None:
    async def scenario() -> None:
        limited, fine = [json_reply(LIMIT, 429, "retry-after: 1")], [json_reply(chat_reply())]
        async with Upstream(limited, fine) as up, adapter(upstream(up.url, "chat", api_key="sk-own")) as client:
            refused(await client.ask("chat"), 429)
            again = await client.ask("chat")
            refused(again, 429, "rate_limit_exceeded")
            assert (again.headers["retry-after"], len(up.seen)) == ("1", 1)
            assert (await client.ask("chat", model="another")).status == 200, "another model has limits of its own"
            await asyncio.sleep(1.05)
            assert (await client.ask("chat")).status == 200

    play(scenario)


def test_c15_a_spent_key_gives_way_to_the_next_of_its_upstream() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(QUOTA, 429)], [json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", api_keys=["sk-one", "sk-two"])) as client,
        ):
            assert [(await client.ask("chat")).status for _ in range(3)] == [200] * 3
            used = [seen.headers["authorization"] for seen in up.seen]
            assert used[0] != used[1] == used[2] == used[3]

    play(scenario)


def test_c15_a_spent_quota_alone_keeps_its_code_and_is_not_to_be_retried() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(QUOTA, 429)]) as up,
            adapter(upstream(up.url, "chat", api_key="sk-one")) as client,
        ):
            for _ in range(2):
                answer = await client.ask("chat")
                refused(answer, 429, "insufficient_quota")
                assert answer.headers["x-should-retry"] == "false"

    play(scenario)


@pytest.mark.parametrize(("originator", "status"), [("codex_exec", 400), ("someone", 502)])
def test_c10_a_refused_key_of_ours_is_not_to_be_tried_again(originator: str, status: int) -> None:
    """No client can mend it. Official SDKs send a 502 three times, Codex thirty times."""

    async def scenario() -> None:
        refusal = json_reply({"error": {"message": "bad key", "code": "invalid_api_key"}}, 401)
        async with Upstream([refusal]) as up, adapter(upstream(up.url, "chat", api_key="sk-one")) as client:
            for _ in range(2):
                answer = await client.ask("responses", stream=True, headers={"originator": originator})
                refused(answer, status, "upstream_auth")
                assert answer.headers["x-should-retry"] == "false"

    play(scenario)


def test_c30_three_of_four_dead_and_then_all() -> None:
    async def scenario() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            dead = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
            async with Upstream([json_reply(chat_reply())]) as well:
                sections = [upstream(dead, "chat", name) for name in "abc"] + [upstream(well.url, "chat", "d")]
                async with adapter(*sections) as client:
                    assert [(await client.ask("chat")).status for _ in range(30)] == [200] * 30
            async with adapter(*sections[:3]) as client:
                statuses = [(await client.ask("chat")).status for _ in range(8)]
                assert statuses == [502] * 5 + [503] * 3
                answer = await client.ask("chat")
                refused(answer, 503, "no_upstream")
                assert 1 <= int(answer.headers["retry-after"]) <= 2

    play(scenario)


def test_e23_an_open_breaker_lets_one_probe_through_when_the_target_is_back() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(SICK, 503)]) as up, adapter(upstream(up.url, "chat")) as client:
            for _ in range(5):
                assert (await client.ask("chat")).status == 503
            seen = len(up.seen)
            refused(await client.ask("chat"), 503, "no_upstream")
            assert len(up.seen) == seen
            up.scripts = [[Sleep(0.4), json_reply(chat_reply())]]
            await asyncio.sleep(2.05)
            answers = await asyncio.gather(*(client.ask("chat") for _ in range(5)))
            assert sorted(answer.status for answer in answers) == [200, 503, 503, 503, 503]
            assert len(up.seen) == seen + 1
            assert [(await client.ask("chat")).status for _ in range(3)] == [200] * 3

    play(scenario)


def test_a_model_that_is_broken_upstream_leaves_the_others_of_that_upstream_alone() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(SICK, 503)]) as up, adapter(upstream(up.url, "chat")) as client:
            for _ in range(5):
                assert (await client.ask("chat", model="broken")).status == 503
            refused(await client.ask("chat", model="broken"), 503, "no_upstream")
            up.scripts = [[json_reply(chat_reply())]]
            assert (await client.ask("chat", model="well")).status == 200

    play(scenario)


def test_c31_a_slow_target_has_its_own_bound_and_the_others_go_on() -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        slow: Script = [Until(go), json_reply(chat_reply())]
        async with Upstream(slow) as one, Upstream([json_reply(chat_reply())]) as two:
            sections = (
                upstream(one.url, "chat", "slow", models=["slow"], max_concurrency=3),
                upstream(two.url, "chat", "fast", models=["fast"]),
            )
            async with adapter(*sections) as client:
                running = [asyncio.ensure_future(client.ask("chat", model="slow")) for _ in range(3)]
                while len(one.seen) < 3:
                    await asyncio.sleep(0.01)
                full = await client.ask("chat", model="slow")
                refused(full, 503, "server_is_overloaded")
                assert full.headers["retry-after"] == "1"
                assert (await client.ask("chat", model="fast")).status == 200
                go.set()
                assert [answer.status for answer in await asyncio.gather(*running)] == [200] * 3
                assert (await client.ask("chat", model="slow")).status == 200

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_c32_an_upstream_that_ignores_cancellation_is_let_go_and_its_place_is_free(stream: bool) -> None:
    async def scenario() -> None:
        endless = [*[event(chunk({"content": "x"})), Sleep(0.02)] * 500] if stream else [piece(b" "), Sleep(0.02)] * 500
        deaf: Script = [SSE if stream else head(200), *endless]
        async with (
            Upstream(deaf, [json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", max_concurrency=1)) as client,
        ):
            _, writer = await client.open(ask_bytes("chat", stream=stream))
            await up.arrived.wait()
            await asyncio.sleep(0.4)
            writer.close()
            await asyncio.wait_for(up.seen[0].finished.wait(), 2)
            assert (await client.ask("chat")).status == 200
            assert up.connections == 2, "a connection with an answer on it is not pooled"

    play(scenario)


@cells
def test_a_whole_answer_may_have_a_deadline(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    drops = [SSE, *[event(chunk({"content": "x"})), Sleep(0.03)] * 200]
    if upstream_speaks == "responses":
        opening = responses_stream()
        drops = [*opening[:5], *[opening[5], Sleep(0.03)] * 200]
    script: Script = drops
    if not stream:
        script = [head(200), piece(b'{"id":"'), *[piece(b"x"), Sleep(0.03)] * 200]

    async def scenario() -> None:
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks, total_timeout=0.4)) as client:
            answer = await client.ask(client_speaks, stream=stream)
            if stream:
                assert answer.status == 200
                assert b"upstream_timeout" in answer.body or b"longer for its answer" in answer.body
            else:
                refused(answer, 504, "upstream_timeout")

    play(scenario)


# ---------------------------------------------------------------------------------------------------------- sticky


async def places(client: Client, pool: list[Upstream], asks: list[dict[str, Any]], **headers: str) -> list[int]:
    """Which of the pool answered each."""
    found = []
    for extra in asks:
        before = [len(up.seen) for up in pool]
        assert (await client.ask("responses", headers=headers, **extra)).status == 200
        found.append(next(i for i, up in enumerate(pool) if len(up.seen) > before[i]))
    return found


def test_sessions_stay_where_they_are_and_a_dead_target_moves_only_its_own() -> None:
    async def scenario() -> None:
        fine: Script = [json_reply(chat_reply())]
        async with Upstream(fine) as a, Upstream(fine) as b, Upstream(fine) as c:
            pool = [a, b, c]
            sections = [upstream(up.url, "chat", f"t{n}", priority=0) for n, up in enumerate(pool)]
            async with adapter(*sections) as client:
                asks = [{"prompt_cache_key": f"conversation-{n}"} for n in range(24)]
                first = await places(client, pool, asks)
                assert set(first) == {0, 1, 2}
                assert await places(client, pool, asks) == first
                b.scripts = [[json_reply(SICK, 503)]]
                moved: list[int] = []
                for extra in asks:
                    seen = len(a.seen), len(c.seen)
                    assert (await client.ask("responses", **extra)).status == 200
                    moved.append(0 if len(a.seen) > seen[0] else 2)
                assert [now for now, was in zip(moved, first, strict=True) if was != 1] == [
                    was for was in first if was != 1
                ]

    play(scenario)


@pytest.mark.parametrize("several", ["upstreams", "keys"])
def test_a_conversation_that_goes_on_by_id_stays_where_it_began(several: str, tmp_path: Path) -> None:
    """The id is another one with every turn; what was said first is not."""

    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up:
            keys = [f"sk-{number}" for number in range(3)]
            if several == "keys":
                sections = [upstream(up.url, "chat", api_keys=keys)]
            else:
                sections = [upstream(up.url, "chat", key, priority=0, api_key=key) for key in keys]
            async with adapter(*sections, store={"url": f"sqlite:///{tmp_path}/store.db"}) as client:
                for conversation in range(6):
                    up.seen.clear()
                    last = None
                    for turn in range(5):
                        said = f"turn {turn} of conversation {conversation}"
                        made = await client.ask("responses", input=said, previous_response_id=last)
                        last = made.json["id"]
                    assert len({seen.headers["authorization"] for seen in up.seen}) == 1

    play(scenario)


def test_a_conversation_is_compacted_where_its_turns_go() -> None:
    """Also for a client that names it nowhere: its opening tells."""

    async def scenario() -> None:
        async with Upstream(chat_stream("Hello")) as up:
            sections = [upstream(up.url, "chat", key, priority=0, api_key=key) for key in ("sk-0", "sk-1", "sk-2")]
            async with adapter(*sections) as client:
                for conversation in range(6):
                    up.seen.clear()
                    roles = ("user", "assistant", "user")
                    said = [{"role": role, "content": f"conversation {conversation}"} for role in roles]
                    assert (await client.ask("responses", input=said, stream=True)).status == 200
                    assert (await client.post("/v1/responses/compact", {"model": "m", "input": said})).status == 200
                    keys = [seen.headers["authorization"] for seen in up.seen]
                    assert (len(keys), len(set(keys))) == (2, 1)

    play(scenario)


def test_weights_and_priorities_decide_who_is_asked() -> None:
    async def scenario() -> None:
        fine: Script = [json_reply(chat_reply())]
        async with Upstream(fine) as a, Upstream(fine) as b, Upstream(fine) as spare:
            sections = (
                upstream(a.url, "chat", "a", priority=0, weight=1),
                upstream(b.url, "chat", "b", priority=0, weight=4),
                upstream(spare.url, "chat", "spare", priority=1, weight=100),
            )
            async with adapter(*sections) as client:
                for n in range(60):
                    assert (await client.ask("chat", user=f"user-{n}")).status == 200
                assert len(spare.seen) == 0
                assert len(b.seen) > 2 * len(a.seen) > 0
                a.scripts = b.scripts = [[Close()]]
                assert (await client.ask("chat")).status == 200
                assert len(spare.seen) == 1

    play(scenario)


# -------------------------------------------------------------------------------------------------------- under load


class Mortal(Upstream):
    """An upstream that can be killed: its listener and all of its connections at once."""

    async def kill(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.sleep(0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("victim", [0, 1, 2, 3])
def test_killing_an_upstream_under_load_loses_no_request_that_had_not_begun_to_answer(
    victim: int, stream: bool
) -> None:
    async def scenario() -> None:
        dialects = ["chat", "responses", "chat", "responses"]
        slowly = [[Sleep(0.15), *good(dialect, stream)] for dialect in dialects]
        async with Mortal(slowly[0]) as a, Mortal(slowly[1]) as b, Mortal(slowly[2]) as c, Mortal(slowly[3]) as d:
            pool = [a, b, c, d]
            sections = [upstream(up.url, dialects[n], f"t{n}", priority=0, api_key="none") for n, up in enumerate(pool)]
            async with adapter(*sections) as client:

                async def one(number: int) -> Response:
                    await asyncio.sleep(number % 50 / 100)
                    return await client.ask("chat" if number % 2 else "responses", stream=stream, user=f"u{number}")

                running = [asyncio.ensure_future(one(number)) for number in range(200)]
                await asyncio.sleep(0.35)
                await pool[victim].kill()
                answers = await asyncio.gather(*running)
        assert {answer.status for answer in answers} == {200}
        for number, answer in enumerate(answers):
            assert answer.whole, answer.body
            if not stream:
                says_hello("chat" if number % 2 else "responses", stream, answer)

    play(scenario, within=60)
