"""Upstreams behind an HTTP proxy: asked for whole URLs in the clear, for tunnels where the upstream speaks TLS."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.server.harness import adapter, play, upstream
from tests.server.scripted import Stall, Upstream, chat_reply, json_reply
from tests.server.test_failover import good
from tests.server.test_upstream_faults import cells, refused
from tests.server.test_upstream_tls import certificate

USER: Final = "Basic " + b64encode("né w:p@ss/word".encode()).decode()
WRITTEN: Final = "n%C3%A9%20w:p%40ss%2Fword"
"""The same in a URL."""
REFUSAL: Final = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 6\r\nConnection: close\r\n\r\nSquid!"


class Proxy(Upstream):
    """Lets those through who know its user, where it has one."""

    def __init__(
        self, user: str | None = None, refusal: bytes | None = REFUSAL, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(tls=tls)
        self.user, self.refusal = user, refusal
        self.asked: list[tuple[str, dict[str, str]]] = []
        """Request lines and header fields."""

    def by(self, user: str = "") -> str:
        """Its URL, with a user's name and password."""
        return f"http{'s' if self.tls else ''}://{user}{user and '@'}127.0.0.1:{self.port}"

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.strip().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.asked.append((line, fields))
        if self.user is None or fields.get("proxy-authorization") == self.user:
            await self._pass_on(head, reader, writer)
        elif self.refusal is None:
            await asyncio.sleep(60)
        else:
            writer.write(self.refusal)
        return False

    async def _pass_on(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, rest = head.split(" ", 2)
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        there, to = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                rest = "".join(line for line in rest.splitlines(keepends=True) if not line.lower().startswith("proxy-"))
                to.write(f"{method} {parts.path} {rest}".encode("latin-1"))
            await asyncio.wait(
                [asyncio.ensure_future(_copied(*ends)) for ends in ((reader, to), (there, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            to.close()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)


@pytest.mark.parametrize("user", [None, USER])
@cells
def test_a_plain_upstream_is_asked_for_by_its_whole_url(
    client_speaks: str, upstream_speaks: str, stream: bool, user: str | None
) -> None:
    async def scenario() -> None:
        async with Upstream(good(upstream_speaks, stream)) as up, Proxy(user) as proxy:
            by = proxy.by(WRITTEN if user else "")
            async with adapter(upstream(up.url, upstream_speaks, api_key="k" * 20, proxy=by)) as client:
                answers = [await client.ask(client_speaks, stream=stream) for _ in range(2)]
            assert [answer.status for answer in answers] == [200, 200]
            path = "/chat/completions" if upstream_speaks == "chat" else "/responses"
            assert proxy.asked[0][0] == f"POST {up.url}{path} HTTP/1.1"
            assert proxy.asked[0][1].get("proxy-authorization") == user
            assert all("proxy-authorization" not in seen.headers for seen in up.seen[:1])
            assert up.seen[0].headers["host"] == f"127.0.0.1:{up.port}"

    play(scenario)


@pytest.mark.parametrize("user", [None, USER])
@cells
def test_a_tunnel_leads_to_an_upstream_that_speaks_tls(
    client_speaks: str,
    upstream_speaks: str,
    stream: bool,
    user: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        tls = certificate(tmp_path, "unknown_issuer")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        async with Upstream(good(upstream_speaks, stream), tls=tls) as up, Proxy(user) as proxy:
            by = proxy.by(WRITTEN if user else "")
            async with adapter(upstream(up.url, upstream_speaks, api_key="k" * 20, proxy=by)) as client:
                answers = [await client.ask(client_speaks, stream=stream) for _ in range(2)]
            assert [answer.status for answer in answers] == [200, 200]
            ((line, fields),) = proxy.asked  # the second call goes through the tunnel that is there
            assert line == f"CONNECT 127.0.0.1:{up.port} HTTP/1.1"
            assert fields.get("proxy-authorization") == user
            assert "authorization" not in fields
            assert [seen.headers["authorization"] for seen in up.seen] == ["Bearer " + "k" * 20] * 2
            assert all("proxy-authorization" not in seen.headers for seen in up.seen)

    play(scenario)


@pytest.mark.parametrize("secure", [False, True])
def test_a_proxy_may_speak_tls_itself(secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        tls = certificate(tmp_path, "unknown_issuer")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        async with (
            Upstream([json_reply(chat_reply())], tls=tls if secure else None) as up,
            Proxy(USER, tls=tls) as proxy,
        ):
            async with adapter(upstream(up.url, "chat", proxy=proxy.by(WRITTEN))) as client:
                assert [(await client.ask("chat")).status for _ in range(2)] == [200, 200]
            assert len(proxy.asked) == len(up.seen) - 1 == 1

    play(scenario)


@pytest.mark.parametrize("secure", [False, True])
def test_a_proxy_that_lets_nobody_through_is_an_upstream_that_cannot_be_reached(secure: bool, tmp_path: Path) -> None:
    async def scenario() -> None:
        tls = certificate(tmp_path, "unknown_issuer") if secure else None
        async with Upstream([json_reply(chat_reply())], tls=tls) as up, Proxy(USER) as proxy:
            async with adapter(upstream(up.url, "chat", proxy=proxy.by("else:where"))) as client:
                answer = await client.ask("chat")
                refused(answer, 502, "upstream_unreachable")
                assert b"The proxy on the way to the upstream refused with status 407." in answer.body
                assert b"where" not in answer.body
            assert not up.seen

    play(scenario)


def test_where_the_proxy_is_gone_the_next_upstream_is_asked() -> None:
    async def scenario() -> None:
        async with Proxy() as gone:
            by = gone.by()
        async with Upstream([json_reply(chat_reply())]) as up, Upstream([json_reply(chat_reply())]) as other:
            async with adapter(upstream(up.url, "chat", proxy=by), upstream(other.url, "chat", "other")) as client:
                assert (await client.ask("chat")).status == 200
            assert (len(up.seen), len(other.seen)) == (0, 1)

    play(scenario)


def test_a_proxy_that_says_nothing_has_the_time_that_a_connection_has(tmp_path: Path) -> None:
    async def scenario() -> None:
        tls = certificate(tmp_path, "unknown_issuer")
        async with Upstream([Stall()], tls=tls) as up, Proxy(USER, refusal=None) as proxy:
            async with adapter(upstream(up.url, "chat", proxy=proxy.by(), connect_timeout=0.3)) as client:
                refused(await client.ask("chat"), 504, "upstream_timeout")

    play(scenario)


def test_two_upstreams_at_one_address_do_not_share_a_connection_if_one_is_behind_a_proxy() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, Proxy() as proxy:
            sections = upstream(up.url, "chat", models=["near"]), upstream(up.url, "chat", "far", proxy=proxy.by())
            async with adapter(*sections) as client:
                for model in ("near", "far", "near", "far"):
                    assert (await client.ask("chat", model=model)).status == 200
            assert up.connections == 2
            assert len(proxy.asked) == 1

    play(scenario)
