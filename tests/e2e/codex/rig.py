"""The real `codex` over the real adapter over scripted model servers, many runs at once.

One adapter process for each upstream dialect; behind both one address, where the key of a run finds its script. Every run has
a home, a working directory and a key of its own, so that runs know nothing of each other.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args

import uvicorn

from adapter.conform.peers import ChatPeer, Peer, ResponsesPeer, Switchboard, Turn
from adapter.upstream.profiles import GENERIC, profile
from tests.e2e.conftest import ROOT, free_port, wait_until_ready

Lane = Literal["chat", "responses", "functions"]
"""What the server speaks; `functions` is Responses, with tools of no other kind."""
LANES: tuple[Lane, ...] = get_args(Lane)
INSTALLED = ROOT / ".e2e"
PING_AFTER = 0.5
"""Seconds of silence after which the adapter pings Codex."""
PATIENCE = 60
"""Seconds for one run of the binary; it needs about one."""
SERVERS = {
    "thinks": profile("generic", {"reasoning_replay": "tool_turns"}),
    **{name: profile(name) for name in ("gemini", "openrouter", "deepseek", "vllm", "llama.cpp", "ollama")},
}
"""Kinds of Chat servers by the last word of their models' names: one that wants its reasoning back, and some by profile."""
FEW = {"responses": GENERIC, "functions": profile("generic", {"responses_tools": ["function"]})}
"""Kinds of Responses servers by their lanes."""


def binary(version: str) -> Path | None:
    """The binary that `make e2e` installed."""
    found = sorted((INSTALLED / version).glob("node_modules/@openai/codex-*/vendor/*/*/codex"))
    return found[0] if found else None


@dataclass
class Run:
    """What came of a script."""

    events: list[dict[str, Any]]
    """Of `codex exec --json`, over all prompts."""
    peer: Peer
    version: str
    work: Path
    errors: str
    """Standard error."""

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What the model server got."""
        return self.peer.requests

    @property
    def over_socket(self) -> list[bool]:
        """Which of them came over a socket: the request id is then that of the connection, whose last 32 bits are the turn's
        number; other ids are random."""
        return [int(headers["x-request-id"][24:], 16) < 1000 for headers in self.peer.headers]

    @property
    def tries(self) -> list[int]:
        """How many requests there were over each transport in its turn."""
        return [len(list(requests)) for _, requests in groupby(self.over_socket)]

    @property
    def messages(self) -> list[str]:
        """What the user is shown as the agent's words."""
        return [item["text"] for item in self.items("agent_message")]

    @property
    def final(self) -> str:
        """The final message."""
        return self.messages[-1] if self.messages else ""

    @property
    def failure(self) -> str:
        """What the user is told when a turn fails; empty where none did."""
        return "".join(event["error"]["message"] for event in self.events if event["type"] == "turn.failed")

    @property
    def notices(self) -> str:
        """Warnings and errors on the way."""
        told = [event["message"] for event in self.events if event["type"] == "error"]
        return "\n".join(told + [item["message"] for item in self.items("error")])

    def told(self) -> str:
        """The run for a reader who wants to know why it failed."""
        lines = [*self.errors.splitlines()[-8:], *(json.dumps(event)[:600] for event in self.events)]
        lines += [f"request {i}: ...{json.dumps(body)[-1500:]}" for i, body in enumerate(self.requests)]
        return "\n".join(["", *lines, *self.peer.problems])

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The finished items of a kind."""
        finished = (event["item"] for event in self.events if event["type"] == "item.completed")
        return [item for item in finished if item["type"] == kind]

    def history(self, request: int = -1) -> str:
        """One request as text, for what must or must not stand in it."""
        return json.dumps(self.requests[request], ensure_ascii=False)


@dataclass
class Rig:
    """Runs scripts."""

    board: Switchboard
    urls: dict[str, str]
    """Base URL of the adapter by the dialect behind it."""
    upstream: str
    """Base URL of the scripted servers."""

    def run(
        self,
        key: str,
        folder: Path,
        version: str,
        lane: Lane,
        model: str,
        script: Sequence[Turn],
        *,
        prompts: Sequence[str] = ("go",),
        flags: Sequence[str] = (),
        provider: str = "",
        config: str = "",
        retries: int = 2,
        block: str = "",
    ) -> Run:
        """Let Codex work on the prompts, the second and later ones by `resume`; `folder` holds home and work.

        `block` is the whole configuration where it is given.
        """
        server = SERVERS.get(model.rpartition("-")[2], GENERIC)
        peer: Peer = ChatPeer(script, profile=server) if lane == "chat" else ResponsesPeer(script, profile=FEW[lane])
        self.board.peers[key] = peer
        home, work = folder / "home", folder / "project"
        home.mkdir(parents=True, exist_ok=True)
        work.mkdir(exist_ok=True)
        (home / "config.toml").write_text(
            block
            or f'model = "{model}"\nmodel_provider = "adapter"\ncheck_for_update_on_startup = false\n{config}\n'
            f'[model_providers.adapter]\nname = "adapter"\nbase_url = "{self.urls[lane]}"\nwire_api = "responses"\n'
            f'env_key = "ADAPTER_KEY"\nrequest_max_retries = {retries}\nstream_max_retries = {retries}\n{provider}\n'
        )
        events: list[dict[str, Any]] = []
        errors = ""
        for prompt in prompts:
            thread = [event["thread_id"] for event in events if event["type"] == "thread.started"]
            command = [str(binary(version)), "exec", *(["resume", *thread[:1]] if thread else ()), "--json", *flags]
            command += ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", prompt]
            done = subprocess.run(
                command,
                cwd=work,
                env={"PATH": os.environ["PATH"], "HOME": str(home), "CODEX_HOME": str(home), "ADAPTER_KEY": key},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            events += [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            errors += done.stderr
        return Run(events, peer, version, work, errors)


@contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    """The servers, for as long as the context lasts."""
    board = Switchboard()
    with ExitStack() as stack:
        upstream = stack.enter_context(serving(board.app))
        urls = {lane: stack.enter_context(adapter(folder, lane, _config(lane, upstream))) for lane in LANES}
        yield Rig(board, urls, upstream)


def _config(lane: Lane, upstream: str) -> str:
    dialect = "chat" if lane == "chat" else "responses"
    head = f'base_url = "{upstream}"\ndialect = "{dialect}"\napi_key = "client"\ncompact = "none"\n'
    few = (
        f"[upstreams.capabilities]\nresponses_tools = {json.dumps(FEW[lane].responses_tools if lane in FEW else [])}\n"
    )
    text = f"[server]\nping_after = {PING_AFTER}\n"
    for name, server in SERVERS.items():
        text += f'[[upstreams]]\nname = "{name}"\nmodels = ["*-{name}"]\n{head}profile = "{server.name}"\n{few}'
        if name != server.name:
            text += f'reasoning_replay = "{server.reasoning_replay}"\n'
    return text + f'[[upstreams]]\nname = "scripted"\npriority = 1\n{head}{few}'


@contextmanager
def adapter(folder: Path, name: str, config: str) -> Iterator[str]:
    """`python -m adapter serve` with this configuration; the base URL with /v1."""
    port = free_port()
    (folder / f"{name}.toml").write_text(config)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ADAPTER_")} | {"HOME": str(folder)}
    command = [sys.executable, "-m", "adapter", "serve", "--config", str(folder / f"{name}.toml"), "--port", str(port)]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/readyz", process)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(40)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """An ASGI application in a thread of this process; the base URL with /v1."""
    port = free_port()
    config = uvicorn.Config(app, port=port, interface="asgi3", log_config=None, log_level="critical", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="scripted", daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the scripted server did not start"
        thread.join(0.02)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join(20)
