"""The official SDK compacts, and goes on from what it was given, over a Chat server that records what it is asked."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn
from openai.types.responses import ResponseCompactionItem

from adapter.conform.compactors import CompactPeer
from tests.e2e.conftest import ROOT, free_port, wait_until_ready
from tests.server.compacting import ASKS, FACTS, HISTORY
from tests.validator import load

validator = load()

# the SDK types a retained message as if a model had said it, and warns when it is to write one that a user said
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")


@pytest.fixture(scope="module")
def peer() -> CompactPeer:
    return CompactPeer("none_chat")


@pytest.fixture(scope="module")
def client(peer: CompactPeer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """The SDK, with the adapter and the peer behind it."""
    home = tmp_path_factory.mktemp("home")
    server = uvicorn.Server(
        uvicorn.Config(peer.app, interface="asgi3", port=free_port(), ws="none", lifespan="off", log_config=None)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    port = free_port()
    command = ["serve", "--upstream", f"http://127.0.0.1:{server.config.port}/v1", "--dialect", "chat"]
    process = _adapter(home, port, command)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/readyz", process)
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-test", max_retries=0) as client:
            yield client
    finally:
        process.terminate()
        process.wait(20)
        server.should_exit = True
        thread.join(10)


def _adapter(home: Path, port: int, command: list[str]) -> subprocess.Popen[bytes]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTER_")} | {"HOME": str(home)}
    with (home / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "adapter", *command, "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )


def test_the_output_passed_back_whole_brings_the_first_turns_facts_to_the_chat_server(
    client: openai.OpenAI, peer: CompactPeer
) -> None:
    history: Any = HISTORY
    compacted = client.responses.compact(model="m", input=history, instructions="Help with the project.")

    assert compacted.object == "response.compaction"
    assert isinstance(compacted.output[-1], ResponseCompactionItem)
    assert compacted.usage.total_tokens > 0
    if validator is not None:
        dumped = compacted.model_dump(exclude_unset=True, mode="json")
        assert validator.errors(validator.check(dumped, "compact")) == []

    whole: Any = [*compacted.output, ASKS]
    answer = client.responses.create(model="m", input=whole)

    path, sent = peer.seen[-1]
    assert path == "/chat/completions"
    assert all(fact in str(sent["messages"]) for fact in FACTS)
    assert all(fact in answer.output_text for fact in FACTS)
    assert sent["messages"][-1]["content"] == "What do you know?"
    assert len(str(sent)) < len(str(HISTORY)) / 5
    assert peer.problems == []


def test_a_second_compaction_replaces_the_first(client: openai.OpenAI, peer: CompactPeer) -> None:
    history: Any = HISTORY
    once = client.responses.compact(model="m", input=history)
    again: Any = [*once.output, ASKS]
    twice = client.responses.compact(model="m", input=again)

    whole: Any = [*twice.output, ASKS]
    answer = client.responses.create(model="m", input=whole)

    assert [item.type for item in twice.output].count("compaction") == 1
    assert all(fact in answer.output_text for fact in FACTS)
    assert str(peer.seen[-1][1]["messages"]).count("produced a summary") == 1


def test_a_threshold_compacts_within_the_stream(client: openai.OpenAI) -> None:
    asked: Any = [*HISTORY, ASKS]
    with client.responses.stream(
        model="m", input=asked, extra_body={"context_management": [{"type": "compaction", "compact_threshold": 1000}]}
    ) as stream:
        done = [event for event in stream if event.type == "response.output_item.done"]
        final = stream.get_final_response()

    assert [event.item.type for event in done] == ["compaction", "message"]
    assert [item.type for item in final.output] == ["compaction", "message"]
    assert all(fact in final.output_text for fact in FACTS)
