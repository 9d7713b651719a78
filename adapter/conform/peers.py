"""Scripted upstreams: ASGI applications that say what a test tells them to, and refuse what a real server would refuse.

    peer = ChatPeer([says(message(text="hello")), fails(429, "slow down", retry_after=1)])
    … serve peer.app, drive the adapter …
    assert peer.problems == []          # nothing that a strict server refuses
    assert peer.requests[0]["model"] == "m"

A peer answers in order, the last answer again and again. A turn of its script is an answer (`Spoken`), one that breaks
off (`Torn`) or rests (`Slow`), bytes (`Line`), or a function of the request that gives any of these. Peers are strict unless
told otherwise: a Chat request with an unknown field, an unpaired call, a developer message or a tool_choice without tools gets
the 400 that such servers give.

Every answer says that another model gave it (`openai-model`), which some clients take for an alarm: it is not to go on.
Where one address has to serve many scripts at once, a `Switchboard` finds each peer by the key of the request.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeAlias

from starlette.types import Receive, Scope, Send

from adapter.conform import strict_chat, strict_responses
from adapter.conform.acting import NotOffered
from adapter.conform.speaking import Spoken, chat_completion, chat_stream, response, responses_stream
from adapter.upstream.profiles import GENERIC, Profile


@dataclass(slots=True)
class Line:
    """One line of a script: an answer in every form that the request may want."""

    status: int = 200
    plain: bytes = b""
    streamed: bytes | None = None
    """None: a stream gets the plain body too, as errors do."""
    pause: float = 0
    """Seconds between the second event and the third."""
    broken: bool = False
    """The connection is closed behind these bytes, without the end that they lack."""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class Torn:
    """An answer whose connection breaks behind so many events of its stream."""

    spoken: Spoken
    events: int


@dataclass(slots=True)
class Slow:
    """An answer that begins, and for so many seconds says nothing more."""

    spoken: Spoken
    seconds: float


Answer: TypeAlias = Spoken | Torn | Slow | Line
Turn: TypeAlias = Answer | Callable[[dict[str, Any]], Answer]
"""One turn of a script."""


def says(spoken: Spoken) -> Line:
    """A Chat answer, plain or streamed as the request asks."""
    return Line(plain=json.dumps(chat_completion(spoken)).encode(), streamed=chat_stream(spoken))


def streams(raw: bytes) -> Line:
    """These very bytes as the stream."""
    return Line(plain=raw, streamed=raw)


def fails(status: int, message: str, *, code: str | None = None, retry_after: int | None = None) -> Line:
    """An HTTP error in the APIs' shape."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    headers = [] if retry_after is None else [(b"retry-after", str(retry_after).encode())]
    return Line(status=status, plain=json.dumps(body).encode(), headers=headers)


def message(
    text: str = "", *, reasoning: str = "", calls: Sequence[tuple[str, str]] = (), number: int = 0, width: int = 5
) -> Spoken:
    """An answer from its words: text, reasoning, and calls as (name, arguments); `number` makes its call ids its own."""
    items: list[dict[str, Any]] = []
    if reasoning:
        content = [{"type": "reasoning_text", "text": reasoning}]
        items.append({"id": "rs_0", "type": "reasoning", "summary": [], "content": content})
    if text or not calls:
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        items.append({"id": "msg_0", "type": "message", "status": "completed", "role": "assistant", "content": [part]})
    items += [
        {
            "id": f"fc_{place}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{number}_{place}",
            "name": name,
            "arguments": arguments,
        }
        for place, (name, arguments) in enumerate(calls)
    ]
    return Spoken(items, id=f"resp_{number}", width=width)


class Peer(ABC):
    """A scripted model server."""

    path: ClassVar[str]
    """The one path that it serves, behind /v1."""

    def __init__(self, script: Sequence[Turn], *, profile: Profile = GENERIC, strict: bool = True) -> None:
        self.script = list(script)
        self.profile = profile
        self.strict = strict
        self.requests: list[dict[str, Any]] = []
        """The bodies that came, refused ones included."""
        self.headers: list[dict[str, str]] = []
        """Their headers."""
        self.problems: list[str] = []
        """What was refused, and why."""
        self._place = 0

    @abstractmethod
    def checked(self, body: dict[str, Any]) -> list[str]:
        """What the server has against a request."""

    @abstractmethod
    def said(self, spoken: Spoken) -> Line:
        """An answer in the server's dialect."""

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            body = await _body(receive)
            path = scope["path"].removeprefix("/v1")
            if scope["method"] == "GET" and path == "/models":
                models = {"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "peer"}]}
                await _send(send, Line(plain=json.dumps(models).encode()), stream=False)
            elif scope["method"] != "POST" or path != self.path:
                self.problems.append(f"{scope['method']} {scope['path']}")
                await _send(send, fails(404, f"This server speaks {self.path} only."), stream=False)
            else:
                self.headers.append({name.decode().lower(): value.decode() for name, value in scope["headers"]})
                await self._answer(body, send)

    async def _answer(self, raw: bytes, send: Send) -> None:
        body = json.loads(raw)
        self.requests.append(body)
        found = self.checked(body) if self.strict else []
        self.problems += found
        line = fails(400, "; ".join(found)) if found else self._next(body)
        await _send(send, line, stream=body.get("stream") is True)

    def _next(self, body: dict[str, Any]) -> Line:
        turn = self.script[min(self._place, len(self.script) - 1)]
        self._place += 1
        try:
            answer = turn(body) if callable(turn) else turn
        except NotOffered as missing:
            self.problems.append(str(missing))
            return fails(400, str(missing))
        match answer:
            case Spoken():
                return self.said(answer)
            case Torn():
                events = (self.said(answer.spoken).streamed or b"").split(b"\n\n")[: answer.events]
                return Line(streamed=b"".join(event + b"\n\n" for event in events), broken=True)
            case Slow():
                return replace(self.said(answer.spoken), pause=answer.seconds)
            case Line():
                return answer


class ChatPeer(Peer):
    """A server that speaks only Chat Completions."""

    path = "/chat/completions"

    def checked(self, body: dict[str, Any]) -> list[str]:
        """What the strictest Chat server of the profile refuses."""
        return strict_chat.problems(body, self.profile)

    def said(self, spoken: Spoken) -> Line:
        """As a completion or chunks."""
        return says(spoken)


class ResponsesPeer(Peer):
    """A server that speaks only Responses and stores nothing."""

    path = "/responses"

    def checked(self, body: dict[str, Any]) -> list[str]:
        """What a Responses server of the profile refuses that has no store."""
        return strict_responses.problems(body, self.profile)

    def said(self, spoken: Spoken) -> Line:
        """As a response or its events."""
        return Line(plain=json.dumps(response(spoken)).encode(), streamed=responses_stream(spoken))


class Switchboard:
    """Many peers behind one address, each called by the key of its requests."""

    def __init__(self) -> None:
        self.peers: dict[str, Peer] = {}

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        key = dict(scope["headers"]).get(b"authorization", b"").decode().removeprefix("Bearer ")
        peer = self.peers.get(key)
        if peer is None:
            await _send(send, fails(401, "There is no script for this key."), stream=False)
        else:
            await peer.app(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        event = await receive()
        parts.append(event.get("body", b""))
        if event["type"] == "http.disconnect" or not event.get("more_body"):
            return b"".join(parts)


async def _send(send: Send, line: Line, *, stream: bool) -> None:
    streamed = line.streamed if stream else None
    kind = b"application/json" if streamed is None else b"text/event-stream"
    headers = [(b"content-type", kind), (b"openai-model", b"somebody-else"), *line.headers]
    await send({"type": "http.response.start", "status": line.status, "headers": headers})
    if streamed is None:
        await send({"type": "http.response.body", "body": line.plain, "more_body": line.broken})
        return
    for place, event in enumerate(streamed.split(b"\n\n")[:-1]):
        if line.pause and place == 2:
            await asyncio.sleep(line.pause)
        await send({"type": "http.response.body", "body": event + b"\n\n", "more_body": True})
    if not line.broken:
        await send({"type": "http.response.body", "body": b""})
