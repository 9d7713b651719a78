"""Live servers for the conformance command: the demo model on a socket, in process, and with one defect."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import uvicorn

from adapter.conform.live.laws import Answer
from adapter.conform.live.running import run
from adapter.conform.report import Report
from adapter.demo.app import app as demo


@contextmanager
def served(app: Any, **config: Any) -> Iterator[str]:
    """An ASGI application on a socket of its own, in a thread; its base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", interface="asgi3", ws="none", **config))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the application did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def asked(path: str, raw: bytes) -> Answer:
    """What the demo model answers, without a socket."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(demo({"type": "http", "method": "POST", "path": f"/v1{path}"}, receive, send))
    kind = dict(sent[0]["headers"])[b"content-type"].decode()
    return Answer(sent[0]["status"], kind, b"".join(message.get("body", b"") for message in sent[1:]))


class Defect:
    """A server that is the demo model but for one thing: in what it understands, or in what it says."""

    def __init__(
        self,
        *,
        hears: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        says: Callable[[dict[str, Any], Any], Any] | None = None,
        answers: Callable[[dict[str, Any], Answer], Answer] | None = None,
    ) -> None:
        """`hears` changes a request, `says` the object of a plain answer or of each event, `answers` the whole."""
        self._hears, self._says, self._answers = hears, says, answers

    def __call__(self, path: str, raw: bytes) -> Answer:
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return asked(path, raw)
        if self._hears is not None:
            raw = json.dumps(self._hears(dict(body))).encode()
        answer = asked(path, raw)
        if self._says is not None and answer.status == 200:
            answer = replace(answer, raw=self._resaid(body, answer.raw))
        return answer if self._answers is None else self._answers(body, answer)

    def _resaid(self, body: dict[str, Any], raw: bytes) -> bytes:
        assert self._says is not None
        if body.get("stream") is not True:
            return json.dumps(self._says(body, json.loads(raw))).encode()
        lines = []
        for line in raw.split(b"\n"):
            if line.startswith(b"data: {"):
                line = b"data: " + json.dumps(self._says(body, json.loads(line[6:]))).encode()
            lines.append(line)
        return b"\n".join(lines)


def judged(
    ask: Callable[[str, bytes], Answer], dialect: Any, *, examples: int = 0, seed: int = 1, **more: Any
) -> Report:
    """The report about a server."""
    return run(ask, dialect, f"demo-{dialect}", examples=examples, seed=seed, **more)


def broken(report: Report) -> set[str]:
    """The names of the broken laws."""
    return {law for law, _, _ in report.findings}
