"""What a start may import. Time is not fair to test; what a configuration has a use for is."""

from __future__ import annotations

import asyncio
import os
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.server.scripted import Upstream, chat_reply, json_reply

ROOT = Path(__file__).parents[1]
NEVER = {"structlog", "prometheus_client", "redis", "websockets", "cryptography", "adapter.demo"}
NEVER |= {"adapter.conform", "adapter.conforming", "hypothesis", "adapter.server.courses.compact_courses", "difflib"}
NEVER |= {"pydantic_settings"}
"""Nothing that is configured or asked here needs them: a terminal, metrics, shared limits, sockets, sealed content, other
commands, compactions, a word to be guessed, the environment."""
OFF = '[store]\nmode = "off"\n'


async def _imported(path: Path, config: str, asked: str) -> set[str]:
    """The modules that `adapter serve` has imported when it has answered one request and was told to stop."""
    file, notes = path / "adapter.toml", path / "imports"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTER_")}
    environment |= {"XDG_STATE_HOME": str(path), "PYTHONUNBUFFERED": "1"}
    async with Upstream([json_reply(chat_reply())]) as up:
        file.write_text(f'{config}[[upstreams]]\nname = "up"\nbase_url = "{up.url}"\ndialect = "chat"\n')
        with notes.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-X", "importtime", "-m", "adapter", "serve", "--config", str(file), "--port", "0",
                cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().split()[3].rstrip(",")
        body = b'{"model": "m", "input": "Hi", "messages": [{"role": "user", "content": "Hi"}]}'
        request = urllib.request.Request(f"{url}/v1/{asked}", body, {"content-type": "application/json"})
        assert b"Hello" in await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=20).read())
        process.terminate()
        await process.communicate()
    return {
        line.rpartition("|")[2].strip() for line in notes.read_text().splitlines() if line.startswith("import time")
    }


async def test_without_a_store_nothing_of_it_is_imported(tmp_path: Path) -> None:
    imported = await _imported(tmp_path, OFF, "chat/completions")
    assert "adapter.server.pipeline" in imported
    assert not imported & (NEVER | {"sqlalchemy", "alembic", "aiosqlite", "sqlite3", "adapter.server.stored"})


async def test_a_store_is_imported_by_the_first_request_that_is_about_it(tmp_path: Path) -> None:
    imported = await _imported(tmp_path, "", "chat/completions")
    assert "adapter.server.stored.ondemand" in imported
    assert not imported & (NEVER | {"sqlalchemy", "alembic", "aiosqlite", "sqlite3"})


@pytest.mark.parametrize("asked", ["chat/completions", "responses"])
async def test_a_store_that_is_as_it_should_be_needs_neither_orm_nor_migrations(tmp_path: Path, asked: str) -> None:
    made = await _imported(tmp_path, "", "responses")
    again = await _imported(tmp_path, "", asked)
    others = {"sqlalchemy.orm", "sqlalchemy.dialects.postgresql", "asyncpg"}
    assert "sqlalchemy" in again
    assert "alembic" in made
    assert not again & (NEVER | others | {"alembic"})
