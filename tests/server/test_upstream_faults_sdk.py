"""Section C of the catalogue of faults, seen through the official SDK: what its user's code has to catch."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import openai
import pytest

from tests.server.harness import adapter, play, upstream
from tests.server.scripted import Script, Upstream, chat_reply, json_reply
from tests.server.test_failover import ELSEWHERE, ERROR_FIRST, LIMIT, QUOTA
from tests.server.test_upstream_faults import REFUSALS, cells

WRONG: dict[str, Script] = {
    "c9_400": [json_reply({"error": {"message": "no", "param": "temperature"}}, 400)],
    "c9_422": [json_reply({"error": {"message": "no"}}, 422)],
    "c13_413": [json_reply({"error": {"message": "too large"}}, 413)],
}
RAISES: dict[str, tuple[Script, type[openai.APIStatusError], int]] = {
    **{name: (script, openai.InternalServerError, status) for name, script, status, _ in REFUSALS},
    **{
        name: (ELSEWHERE[name], openai.InternalServerError, status)
        for name, status in (
            ("c8_a_stall_before_the_head", 504),
            ("c10_a_refused_key_of_ours", 502),
            ("c16_500", 500),
            ("c16_503", 503),
            ("c16_529", 503),
            ("c18_a_5xx_without_a_body", 502),
        )
    },
    "c9_400": (WRONG["c9_400"], openai.BadRequestError, 400),
    "c9_422": (WRONG["c9_422"], openai.UnprocessableEntityError, 422),
    "c11_no_such_model": (ELSEWHERE["c11_no_such_model"], openai.NotFoundError, 404),
    "c12_409": (ELSEWHERE["c12_409"], openai.ConflictError, 409),
    "c13_413": (WRONG["c13_413"], openai.APIStatusError, 413),
    "c14_a_rate_limit": ([json_reply(LIMIT, 429, "retry-after: 7")], openai.RateLimitError, 429),
    "c15_a_spent_quota": ([json_reply(QUOTA, 429)], openai.RateLimitError, 429),
}


async def call(port: int, client_speaks: str, stream: bool, retries: int = 0) -> Any:
    """The official client's call; a stream is read to its end."""
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-x", max_retries=retries) as sdk:
        if client_speaks == "chat":
            made: Any = sdk.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Hi"}], stream=stream
            )
        else:
            made = sdk.responses.create(model="m", input="Hi", stream=stream)
        answer = await made
        return [event async for event in answer] if stream else answer


@pytest.mark.parametrize("name", RAISES)
@cells
def test_what_the_sdk_raises(client_speaks: str, upstream_speaks: str, stream: bool, name: str) -> None:
    script, error, status = RAISES[name]

    async def scenario() -> None:
        section: dict[str, Any] = {"api_key": "sk-own"} | ({"first_byte_timeout": 0.1} if "stall" in name else {})
        async with Upstream(script) as up, adapter(upstream(up.url, upstream_speaks, **section)) as client:
            with pytest.raises(error) as raised:
                await call(client.port, client_speaks, stream)
        assert raised.value.status_code == status
        assert raised.value.request_id
        assert isinstance(raised.value.body, dict)
        assert "SECRET" not in str(raised.value)

    play(scenario)


@cells
def test_c1_a_refused_connection(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    async def scenario() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
            async with adapter(upstream(url, upstream_speaks)) as client:
                with pytest.raises(openai.InternalServerError) as raised:
                    await call(client.port, client_speaks, stream)
        assert (raised.value.status_code, raised.value.code) == (502, "upstream_unreachable")

    play(scenario)


@cells
def test_c20_an_error_as_the_first_event_is_a_status(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    async def scenario() -> None:
        async with Upstream(ERROR_FIRST[upstream_speaks]) as up, adapter(upstream(up.url, upstream_speaks)) as client:
            with pytest.raises(openai.InternalServerError):
                await call(client.port, client_speaks, stream)

    play(scenario)


def test_the_sdk_does_not_multiply_attempts_that_were_made_here() -> None:
    """Three by three: the SDK alone tries three times, and does not where every target was tried already."""

    async def scenario() -> None:
        sick = [json_reply({"error": {"message": "overloaded"}}, 503)]
        async with Upstream(sick) as one, Upstream(sick) as two:
            sections = upstream(one.url, "chat", "a"), upstream(two.url, "chat", "b")
            async with adapter(*sections) as client:
                with pytest.raises(openai.InternalServerError):
                    await call(client.port, "chat", False, retries=2)
                assert (len(one.seen), len(two.seen)) == (1, 1)
            async with adapter(sections[0]) as client:
                with pytest.raises(openai.InternalServerError):
                    await call(client.port, "chat", False, retries=2)
                assert len(one.seen) == 1 + 3, "with one target the retries are the client's"

    play(scenario)


class Names(asyncio.SelectorEventLoop):
    """A loop whose resolver is a stub: an answer that never comes, or a failure."""

    outcome: str = "slow"

    async def getaddrinfo(self, host: Any, port: Any, **keys: Any) -> Any:
        if host != "upstream.test":
            return await super().getaddrinfo(host, port, **keys)
        if self.outcome == "slow":
            await asyncio.sleep(30)
        raise socket.gaierror(socket.EAI_AGAIN if self.outcome == "servfail" else socket.EAI_NONAME, "stub")


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        ("slow", 504, "upstream_timeout"),
        ("servfail", 502, "upstream_unreachable"),
        ("nxdomain", 502, "upstream_unreachable"),
    ],
)
@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_c2_a_name_that_is_slow_or_cannot_be_resolved(client_speaks: str, outcome: str, status: int, code: str) -> None:
    async def scenario() -> None:
        async with (
            asyncio.timeout(20),
            adapter(upstream("http://upstream.test/v1", "chat", connect_timeout=0.2)) as client,
        ):
            answer = await client.ask(client_speaks)
            assert (answer.status, answer.json["error"]["code"]) == (status, code)

    def make() -> asyncio.AbstractEventLoop:
        loop = Names()
        loop.outcome = outcome
        return loop

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(scenario())


def test_c3_a_blackhole_is_tried_elsewhere_since_nothing_was_sent() -> None:
    async def scenario() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            waiting = [socket.socket() for _ in range(4)]
            for each in waiting:  # fill the backlog: further connections hang
                each.setblocking(False)
                each.connect_ex(full.getsockname())
            try:
                url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
                async with Upstream([json_reply(chat_reply())]) as up:
                    sections = upstream(url, "chat", "hole", connect_timeout=0.2), upstream(up.url, "chat", "well")
                    async with adapter(*sections) as client:
                        assert (await client.ask("chat")).status == 200
            finally:
                for each in waiting:
                    each.close()

    play(scenario)
