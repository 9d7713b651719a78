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

from adapter.conform.laws import events_of
from adapter.conform.live.case import Answer
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


def asked(method: str, path: str, raw: bytes) -> Answer:
    """What the demo model answers, without a socket."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(demo({"type": "http", "method": method, "path": f"/v1{path}"}, receive, send))
    kind = dict(sent[0]["headers"])[b"content-type"].decode()
    return Answer(sent[0]["status"], kind, b"".join(message.get("body", b"") for message in sent[1:]))


_NOT_FOUND = {"error": {"message": "Not found.", "type": "invalid_request_error", "param": None, "code": None}}


def _json(status: int, told: Any) -> Answer:
    return Answer(status, "application/json", json.dumps(told).encode())


class Keeping:
    """The demo model with a memory: responses that are to be stored can be fetched, listed, deleted and gone on from."""

    def __init__(
        self, *, always: bool = False, for_ever: bool = False, forgets: bool = False, shows: Any = None
    ) -> None:
        """`always`: whatever `store` says; `for_ever`: nothing is deleted; `forgets`: what came before is not gone on from;
        `shows` changes what is fetched: it takes the path and the object."""
        self._always, self._for_ever, self._forgets, self._shows = always, for_ever, forgets, shows
        self._kept: dict[str, tuple[Any, Any]] = {}

    def __call__(self, method: str, path: str, raw: bytes) -> Answer:
        if method == "POST":
            return self._posted(path, raw)
        if not path.startswith("/responses/"):
            return asked(method, path, raw)
        own, _, below = path.removeprefix("/responses/").partition("/")
        if own not in self._kept:
            return _json(404, _NOT_FOUND)
        said, response = self._kept[own]
        items = {"object": "list", "data": said, "first_id": "msg_1", "last_id": "msg_1", "has_more": False}
        told: Any = items if below else {"GET": response, "DELETE": {"id": own, "deleted": True}}[method]
        if method == "DELETE" and not self._for_ever:
            del self._kept[own]
        if self._shows is not None:
            told = self._shows(path, json.loads(json.dumps(told)))
        return _json(200, told)

    def _posted(self, path: str, raw: bytes) -> Answer:
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        previous = body.get("previous_response_id") if isinstance(body, dict) else None
        stored = isinstance(body, dict) and (self._always or body.get("store") is True)
        if isinstance(previous, str) and previous in self._kept:
            said, response = self._kept[previous]
            history = [] if self._forgets else [*said, *response["output"]]
            text = {"type": "message", "role": "user", "content": body.pop("input")}
            raw = json.dumps({**body, "input": [*history, text], "previous_response_id": None}).encode()
        answer = asked("POST", path, raw)
        if answer.status != 200 or answer.media_type != "application/json" or not (stored or previous):
            return answer
        told = {
            **json.loads(answer.raw),
            "store": stored and body.get("store") is True,
            "previous_response_id": previous,
        }
        if stored:
            parts = [{"type": "input_text", "text": body.get("input")}]
            said = [{"type": "message", "id": "msg_1", "role": "user", "content": parts}]
            self._kept[told["id"]] = said, told
        return replace(answer, raw=json.dumps(told).encode())


class Holding(Keeping):
    """That also counts input, holds conversations, and keeps streams that run in the background."""

    def __init__(self, *, told: Any = None) -> None:
        """`told` changes the object that a path below `/conversations` or of a count is answered with, or the events of a stream
        that is gone on from: it takes the path and what is told."""
        super().__init__()
        self._told = told
        self._said: dict[str, list[Any]] = {}
        """By conversation, its items."""
        self._streams: dict[str, bytes] = {}

    def __call__(self, method: str, path: str, raw: bytes) -> Answer:
        if path.startswith("/conversations") or path == "/responses/input_tokens":
            told = self._object(method, path, raw)
            return _json(404, _NOT_FOUND) if told is None else _json(200, self._changed(path, told))
        own, _, after = path.removeprefix("/responses/").partition("?stream=true&starting_after=")
        if after:
            return self._rest(path, own, int(after))
        return super().__call__(method, path, raw)

    def _object(self, method: str, path: str, raw: bytes) -> Any:
        if path == "/responses/input_tokens":
            return {"object": "response.input_tokens", "input_tokens": len(raw)}
        own, _, below = path.removeprefix("/conversations").removeprefix("/").partition("/")
        if method == "POST":
            own = f"conv_{len(self._said)}"
            self._said[own] = []
        elif own not in self._said:
            return None
        elif below:
            return {"object": "list", "data": self._said[own], "first_id": "1", "last_id": "1", "has_more": False}
        elif method == "DELETE":
            del self._said[own]
            return {"id": own, "object": "conversation.deleted", "deleted": True}
        return {"id": own, "object": "conversation", "created_at": 1, "metadata": {}}

    def _posted(self, path: str, raw: bytes) -> Answer:
        answer = super()._posted(path, raw)
        try:
            body = json.loads(raw)
        except ValueError:
            return answer
        if answer.status != 200 or not isinstance(body, dict):
            return answer
        if body.get("conversation") in self._said:
            said = {"type": "message", "id": "msg_1", "role": "user"}
            said["content"] = [{"type": "input_text", "text": body["input"]}]
            self._said[body["conversation"]] += [said, *json.loads(answer.raw)["output"]]
        if body.get("background") is True:
            raw = answer.raw.replace(b'"background":false', b'"background":true')
            raw = raw.replace(b'"background": false', b'"background": true')
            response = events_of(raw)[-1]["response"]
            self._streams[response["id"]], self._kept[response["id"]] = raw, ([], response)
            return replace(answer, raw=raw)
        return answer

    def _rest(self, path: str, own: str, after: int) -> Answer:
        if own not in self._streams:
            return _json(404, _NOT_FOUND)
        events = self._changed(path, events_of(self._streams[own])[after + 1 :])
        raw = b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)
        return Answer(200, "text/event-stream", raw)

    def _changed(self, path: str, told: Any) -> Any:
        told = json.loads(json.dumps(told))
        return told if self._told is None else self._told(path, told) or told


REPEATED = ("tools", "tool_choice", "parallel_tool_calls", "max_output_tokens", "text")
"""What a response repeats of its request, whatever the server made of that."""


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

    def __call__(self, method: str, path: str, raw: bytes) -> Answer:
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return asked(method, path, raw)
        if self._hears is not None:
            raw = json.dumps(self._hears(dict(body))).encode()
        answer = asked(method, path, raw)
        if answer.status == 200:
            answer = replace(answer, raw=self._resaid(body, answer.raw))
        return answer if self._answers is None else self._answers(body, answer)

    def _resaid(self, body: dict[str, Any], raw: bytes) -> bytes:
        if self._says is None and self._hears is None:
            return raw
        if raw.startswith(b"{"):
            return json.dumps(self._told(body, json.loads(raw))).encode()
        lines = []
        for line in raw.split(b"\n"):
            if line.startswith(b"data: {"):
                line = b"data: " + json.dumps(self._told(body, json.loads(line[6:]))).encode()
            lines.append(line)
        return b"\n".join(lines)

    def _told(self, body: dict[str, Any], told: Any) -> Any:
        response = told.get("response", told)
        if self._hears is not None and response.get("object") == "response":
            response |= {key: body[key] for key in REPEATED if key in body}
        return told if self._says is None else self._says(body, told)


def judged(
    ask: Callable[[str, str, bytes], Answer], dialect: Any, *, examples: int = 0, seed: int = 1, **more: Any
) -> Report:
    """The report about a server."""
    return run(ask, dialect, f"demo-{dialect}", examples=examples, seed=seed, **more)


def broken(report: Report) -> set[str]:
    """The names of the broken laws."""
    return {law for law, _, _ in report.findings}
