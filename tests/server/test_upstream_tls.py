"""C4: the way to an upstream is not what its certificate says, or its handshake never ends. Nothing is sent, nothing is verified
less than it should be, and the client hears no detail of it."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import openai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.server.harness import Client, adapter, play, upstream
from tests.server.scripted import Upstream, chat_reply, json_reply
from tests.server.test_upstream_faults import cells, refused
from tests.server.test_upstream_faults_sdk import call

HERE, ELSEWHERE = ip_address("127.0.0.1"), ip_address("192.0.2.1")
CERTIFICATES = {"unknown_issuer": (HERE, 1), "expired": (HERE, -1), "of_another_host": (ELSEWHERE, 1)}
"""Whose it is, and how many days it still holds."""


def certificate(folder: Path, kind: str) -> ssl.SSLContext:
    """A server's side with a certificate that no client should take."""
    address, days = CERTIFICATES[kind]
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "upstream")])
    until = datetime.now(UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - timedelta(days=30))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(address)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


class Ear(asyncio.Protocol):
    """Takes connections, never says a word."""

    heard: list[bytes]

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)


@asynccontextmanager
async def listening(context: ssl.SSLContext | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server's address, and what came through its TLS; without a context not even a handshake is answered."""
    heard: list[bytes] = []

    def made() -> Ear:
        ear = Ear()
        ear.heard = heard
        return ear

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", heard
    finally:
        server.close()


@pytest.mark.parametrize("kind", CERTIFICATES)
@cells
def test_c4_a_certificate_that_is_not_the_upstreams(
    client_speaks: str, upstream_speaks: str, stream: bool, kind: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with (
            listening(certificate(tmp_path, kind)) as (url, heard),
            adapter(upstream(url, upstream_speaks)) as client,
        ):
            answer = await client.ask(client_speaks, stream=stream)
            refused(answer, 502, "upstream_unreachable")
            assert b"ertificate" not in answer.body
            with pytest.raises(openai.InternalServerError):
                await call(client.port, client_speaks, stream)
            assert not heard

    play(scenario)


@cells
def test_c4_a_handshake_that_never_ends(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    async def scenario() -> None:
        async with (
            listening(None) as (url, _),
            adapter(upstream(url, upstream_speaks, connect_timeout=0.3)) as client,
        ):
            refused(await client.ask(client_speaks, stream=stream), 504, "upstream_timeout")

    play(scenario)


@pytest.mark.parametrize("later", [False, True], ids=["from_the_start", "by_a_reload"])
@pytest.mark.parametrize("trusted", [True, False])
def test_the_program_trusts_whom_its_machine_trusts(trusted: bool, later: bool, tmp_path: Path) -> None:
    """A start does not read the machine's certificates, the first call over TLS does."""

    async def scenario() -> None:
        tls = certificate(tmp_path, "unknown_issuer")
        async with Upstream([json_reply(chat_reply())], tls=tls) as up:
            file = tmp_path / "adapter.toml"
            written = f'[[upstreams]]\nname = "up"\nbase_url = "{up.url}"\ndialect = "chat"\n'
            file.write_text(written.replace("https:", "http:") if later else written)
            environment = {k: v for k, v in os.environ.items() if not k.startswith(("ADAPTER_", "SSL_"))}
            environment |= {"XDG_STATE_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
            environment |= {"SSL_CERT_FILE": str(tmp_path / "server.pem")} if trusted else {}
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "adapter", "serve", "--config", str(file), "--port", "0",
                cwd=Path(__file__).parents[2], env=environment, stdout=asyncio.subprocess.PIPE,
                preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),
            )  # fmt: skip
            assert process.stdout is not None
            try:
                port = (await process.stdout.readline()).decode().partition("127.0.0.1:")[2].partition(",")[0]
                if later:
                    file.write_text(written)
                    process.send_signal(signal.SIGHUP)
                    await asyncio.wait_for(process.stdout.readuntil(b'"event":"reloaded"'), 20)
                answer = await Client(int(port)).ask("responses")
            finally:
                process.terminate()
                await process.communicate()
            if trusted:
                assert answer.status == 200
            else:
                refused(answer, 502, "upstream_unreachable")

    play(scenario, 40)
