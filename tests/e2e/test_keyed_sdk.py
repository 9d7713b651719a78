"""The official SDK through keys: three owners, five keys, four upstreams; the same suite as without any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.e2e.conftest import ROOT, free_port, wait_until_ready
from tests.e2e.test_sdk import TestChat, TestResponses, test_models_are_listed_for_both_kinds_of_client

__all__ = ["TestChat", "TestResponses", "test_models_are_listed_for_both_kinds_of_client"]

KEYS = {
    "alice-laptop": ("alice", ["codex"]),
    "alice-desk": ("alice", ["codex"]),
    "bob-ci": ("bob", ["codex", "spare"]),
    "bob-laptop": ("bob", ["spare"]),
    "carol": ("carol", ["default"]),
}
SECRETS = {name: f"ak-{name}-{'s' * 40}" for name in KEYS}
DEMO = (
    "import sys; from adapter.listening import bound; from adapter.demo.running import sections, start; "
    "here = bound('127.0.0.1', 0); start(here); print(sections(here)[0].base_url, flush=True); sys.stdin.read()"
)
GROUPS = """
[[groups]]
name = "codex"
models = ["demo-*"]
upstreams = ["chat-*", "responses-*"]
limits = { requests_per_minute = 10_000, tokens_per_day = 100_000_000, streams = 100 }
owner_limits = { tokens_per_minute = 10_000_000 }

[[groups]]
name = "spare"
upstreams = ["*-two"]
key_limits = { streams = 50 }

[[groups]]
name = "default"
"""


def variable(key_id: str) -> str:
    """Where a key's secret stands in the environment."""
    return f"{key_id.upper().replace('-', '_')}_KEY"


def written(base_url: str) -> str:
    """The configuration."""
    text = ""
    for name, dialect in (("one", "chat"), ("two", "chat"), ("one", "responses"), ("two", "responses")):
        section = {
            "name": f"{dialect}-{name}",
            "base_url": base_url,
            "dialect": dialect,
            "api_key": "none",
            "models": [f"demo-{dialect}"],
        }
        text += "[[upstreams]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in section.items())
        text += "capabilities = { reasoning_effort = true, files = true }\n\n"
    for key_id, (owner, groups) in KEYS.items():
        section = {"id": key_id, "key": f"${variable(key_id)}", "owner": owner, "groups": groups}
        text += "[[keys]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in section.items()) + "\n"
    return text + GROUPS


@pytest.fixture(scope="module")
def keyed_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home, port = tmp_path_factory.mktemp("keyed"), free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTER_")} | {"HOME": str(home)}
    environment |= {variable(key_id): secret for key_id, secret in SECRETS.items()}
    demo = subprocess.Popen([sys.executable, "-c", DEMO], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert demo.stdout is not None
    config = Path(home) / "adapter.toml"
    config.write_text(written(demo.stdout.readline().decode().strip()))
    with (home / "log").open("wb") as log:
        line = [sys.executable, "-m", "adapter", "serve", "--config", str(config), "--port", str(port)]
        process = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/readyz", process)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(20)
            demo.communicate(timeout=20)
    text = (home / "log").read_text()
    assert all(secret not in text for secret in SECRETS.values())


@pytest.fixture(params=list(KEYS))
def key(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    secret = SECRETS[request.param]
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    return secret


@pytest.fixture
def base_url(keyed_url: str) -> str:
    return keyed_url


@pytest.fixture
def client(keyed_url: str, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=keyed_url, api_key=key, max_retries=0) as found:
        yield found


def test_without_a_key_the_sdk_raises_its_authentication_error(keyed_url: str) -> None:
    with (
        openai.OpenAI(base_url=keyed_url, api_key="ak-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.responses.create(model="demo-chat", input="Hi")
