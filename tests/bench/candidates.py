"""Who is measured, and how each is started. What is not installed is left out."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.measure import Process, free_port
from tests.bench.payloads import CHAT, RESPONSES


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
        return self.candidate == "litellm"


LANES = ((CHAT, CHAT), (RESPONSES, RESPONSES))
CROSSINGS = ((CHAT, RESPONSES), (RESPONSES, CHAT))


@contextmanager
def started(wanted: frozenset[str] | None = None) -> Iterator[tuple[list[Case], dict[str, str]]]:
    """Start the upstream and everybody who can be started; yields the cases, and why somebody is absent.

    `wanted` restricts the candidates; the pass-through is always there, because everything is a ratio to it.
    """
    absent: dict[str, str] = {}
    cases: list[Case] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        upstream_port = free_port()
        upstream = _launch(stack, [sys.executable, "-m", "tests.bench.upstream", str(upstream_port)], upstream_port)
        if not upstream.listens:
            raise RuntimeError(f"the canned upstream did not start: {upstream.stop()}")
        origin = f"http://127.0.0.1:{upstream_port}"

        def add(candidate: str, command: list[str], port: int, ways: tuple[tuple[str, str], ...]) -> None:
            process = _launch(stack, command, port)
            if not process.listens:
                absent[candidate] = (process.stop().strip().splitlines() or ["did not listen"])[-1]
                return
            cases.extend(Case(candidate, *way, process, port) for way in ways)

        def asked(candidate: str) -> bool:
            return wanted is None or candidate in wanted

        if asked("direct"):
            cases.extend(Case("direct", *way, None, upstream_port) for way in LANES)
        port = free_port()
        add("passthrough", [sys.executable, "-m", "tests.bench.passthrough", origin, str(port)], port, LANES)
        if asked("naive"):
            port = free_port()
            add("naive", [sys.executable, "-m", "tests.bench.naive", origin, str(port)], port, CROSSINGS)
        if asked("nginx"):
            if nginx := os.environ.get("BENCH_NGINX") or shutil.which("nginx"):
                port = free_port()
                config = folder / "nginx.conf"
                config.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream_port))
                add(
                    "nginx", [nginx, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")], port, LANES
                )
            else:
                absent["nginx"] = "not installed"
        if asked("adapter"):
            for dialect in (CHAT, RESPONSES):
                port = free_port()
                serve = ["serve", "--upstream", origin + "/v1", "--dialect", dialect, "--port", str(port)]
                ways = ((CHAT, dialect), (RESPONSES, dialect))
                add("adapter", [sys.executable, "-m", "adapter", *serve], port, ways)
        if asked("litellm"):
            if litellm := os.environ.get("BENCH_LITELLM") or (find_spec("litellm") and shutil.which("litellm")):
                port = free_port()
                config = folder / "litellm.yaml"
                config.write_text(_LITELLM.format(origin=origin))
                add(
                    "litellm",
                    [litellm, "--config", str(config), "--port", str(port)],
                    port,
                    ((CHAT, CHAT), (RESPONSES, CHAT)),
                )
            else:
                absent["litellm"] = "not installed"
        yield cases, absent


def _launch(stack: ExitStack, command: list[str], port: int) -> Process:
    process = Process(command, port, environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True"})
    stack.callback(process.stop)
    return process


_NGINX = """\
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; client_body_buffer_size 1m;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream canned {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://canned; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""

_LITELLM = """\
model_list:
  - model_name: "*"
    litellm_params: {{model: "lm_studio/*", api_base: "{origin}/v1", api_key: "sk-bench"}}
general_settings: {{master_key: "sk-bench"}}
"""
