"""Who is measured, and how each is started. What is not installed is left out.

`BENCH_NGINX` and `BENCH_LITELLM` name binaries that are not in the path.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import Process, free_port
from tests.bench.payloads import CHAT, RESPONSES

LANES = ((CHAT, CHAT), (RESPONSES, RESPONSES))
CROSSINGS = ((CHAT, RESPONSES), (RESPONSES, CHAT))
STORE_OFF = "adapter (store off)"
"""The adapter with `[store] mode = "off"`: measured for its memory and its start only."""


SLOW = frozenset({"litellm"})


@dataclass(frozen=True, slots=True)
class Case:
    """One candidate in one direction."""

    candidate: str
    client: str
    upstream: str
    process: Process | None
    """None for the direct way to the upstream."""
    port: int

    @property
    def name(self) -> str:
        return f"{self.candidate} {self.client}→{self.upstream}"

    @property
    def slow(self) -> bool:
        """Gets a tenth of the requests, so that the run ends."""
        return self.candidate in SLOW


@dataclass(frozen=True, slots=True)
class Server:
    """A program that can be started any number of times."""

    candidate: str
    ways: tuple[tuple[str, str], ...]
    """The directions that one process serves."""
    command: tuple[str, ...]
    """With `{port}` where the port belongs."""
    state: Path
    """Where it may keep what it keeps."""
    config: str = ""
    """Where the command has `{config}`: the text of its configuration file, with `{port}`."""

    def start(self) -> Process:
        """A process of its own on a free port, which may or may not listen."""
        port = free_port()
        config = self.state / f"{self.candidate}-{port}.conf"
        if self.config:
            config.write_text(self.config.replace("{port}", str(port)))
        command = [part.replace("{port}", str(port)).replace("{config}", str(config)) for part in self.command]
        environment = {"XDG_STATE_HOME": str(self.state), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        if self.candidate == STORE_OFF:
            environment["ADAPTER_STORE__MODE"] = "off"
        return Process(command, port, environment=environment)

    def cases(self, process: Process) -> list[Case]:
        """What one process of this program is measured as."""
        return [Case(self.candidate, *way, process, process.port) for way in self.ways]


@dataclass(frozen=True, slots=True)
class Field:
    """The canned upstream, and everybody who can be started over it."""

    upstream_port: int
    folder: Path
    servers: tuple[Server, ...]
    absent: dict[str, str]
    """Candidate -> why it is left out."""

    @property
    def origin(self) -> str:
        """The upstream's base URL, without a path."""
        return f"http://127.0.0.1:{self.upstream_port}"

    @property
    def direct(self) -> list[Case]:
        """Nobody in between."""
        return [Case("direct", *way, None, self.upstream_port) for way in LANES]


@contextmanager
def lined_up(wanted: frozenset[str] | None = None) -> Iterator[Field]:
    """Start the upstream; what is over it is not started yet.

    `wanted` restricts the candidates; the pass-through is always there, because everything is a ratio to it.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        port = free_port()
        upstream = Process([sys.executable, "-m", "tests.bench.upstream", str(port)], port)
        stack.callback(upstream.stop)
        if not upstream.listens:
            raise RuntimeError(f"the canned upstream did not start: {upstream.stop()}")
        absent: dict[str, str] = {}
        servers = [
            server
            for server in _servers(f"http://127.0.0.1:{port}", folder, absent)
            if wanted is None or server.candidate.split()[0] in {*wanted, "passthrough"}
        ]
        yield Field(port, folder, tuple(servers), absent)


@contextmanager
def started(servers: Iterable[Server], absent: dict[str, str]) -> Iterator[list[Case]]:
    """One process of each, and what they are measured as; who does not listen is `absent`."""
    with ExitStack() as stack:
        cases: list[Case] = []
        for server in servers:
            process = server.start()
            stack.callback(process.stop)
            if process.listens:
                cases += server.cases(process)
            else:
                absent[server.candidate] = why_not(process)
        yield cases


def why_not(process: Process) -> str:
    """The last that a process said which did not come up."""
    return (process.stop().strip().splitlines() or ["did not listen"])[-1]


def adapter(origin: str, dialect: str, folder: Path, *more: str, candidate: str = "adapter") -> Server:
    """The adapter over an upstream that speaks `dialect`."""
    command = (sys.executable, "-m", "adapter", "serve", "--upstream", f"{origin}/v1", "--dialect", dialect)
    ways = ((CHAT, dialect), (RESPONSES, dialect))
    return Server(candidate, ways, (*command, "--port", "{port}", *more), folder)


def _servers(origin: str, folder: Path, absent: dict[str, str]) -> Iterator[Server]:
    python = (sys.executable, "-m")
    yield Server("passthrough", LANES, (*python, "tests.bench.passthrough", origin, "{port}"), folder)
    yield Server("naive", CROSSINGS, (*python, "tests.bench.naive", origin, "{port}"), folder)
    if nginx := os.environ.get("BENCH_NGINX") or shutil.which("nginx"):
        config = _NGINX.replace("{folder}", str(folder)).replace("{upstream}", origin.partition("//")[2])
        command: tuple[str, ...] = (nginx, "-p", str(folder), "-c", "{config}", "-e", str(folder / "nginx-error.log"))
        yield Server("nginx", LANES, command, folder, config)
    else:
        absent["nginx"] = "not installed"
    for dialect in (CHAT, RESPONSES):
        yield adapter(origin, dialect, folder)
        yield adapter(origin, dialect, folder, candidate=STORE_OFF)
    if litellm := os.environ.get("BENCH_LITELLM") or (find_spec("litellm") and shutil.which("litellm")):
        config = _LITELLM.replace("{origin}", origin)
        command = (litellm, "--config", "{config}", "--port", "{port}")
        yield Server("litellm", ((CHAT, CHAT), (RESPONSES, CHAT)), command, folder, config)
    else:
        absent["litellm"] = "not installed"


_NGINX = """\
daemon off; master_process off; worker_processes 1; pid {folder}/nginx-{port}.pid;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; client_body_buffer_size 2m; client_max_body_size 16m;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream canned { server {upstream}; keepalive 512; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:{port} backlog=1024;
    location / {
      proxy_pass http://canned; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }
  }
}
"""

_LITELLM = """\
model_list:
  - model_name: "*"
    litellm_params: {model: "lm_studio/*", api_base: "{origin}/v1", api_key: "sk-bench"}
general_settings: {master_key: "sk-bench"}
"""
