"""The demo model as an ASGI application: `uvicorn adapter.demo.app:app`.

Paths, with and without `/v1`: POST chat/completions, responses, responses/compact; GET models, models/{id}.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from starlette.types import Receive, Scope, Send

from adapter.demo import chat, responses
from adapter.demo.asking import Bad

Plain: TypeAlias = Callable[[dict[str, Any], int, str], dict[str, Any]]
Streamed: TypeAlias = Callable[[dict[str, Any], int, str], Iterator[bytes]]

MODELS: Final = ("demo-chat", "demo-responses")
"""The names that it answers to, whatever the endpoint."""
ENDPOINTS: Final[dict[str, tuple[Plain, Streamed | None]]] = {
    "/chat/completions": (chat.reply, chat.framed),
    "/responses": (responses.reply, responses.framed),
    "/responses/compact": (responses.compacted, None),
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """One request, or the life cycle of the server."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http":
        await _http(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _http(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"].removeprefix("/v1").rstrip("/")
    if scope["method"] == "GET" and path == "/models":
        await _json(send, 200, {"object": "list", "data": [_model(name) for name in MODELS]})
    elif scope["method"] == "GET" and path.removeprefix("/models/") in MODELS:
        await _json(send, 200, _model(path.removeprefix("/models/")))
    elif scope["method"] == "GET" and path.startswith("/models/"):
        await _json(send, 404, _unknown(path.removeprefix("/models/")))
    elif scope["method"] == "POST" and path in ENDPOINTS:
        await _answer(await _body(receive), *ENDPOINTS[path], send)
    else:
        await _json(send, 404, _error(f"Unknown path: {scope['method']} {scope['path']}", None, None))


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(parts)


async def _answer(raw: bytes, plain: Plain, streamed: Streamed | None, send: Send) -> None:
    try:
        body = _object(raw)
        if body["model"] not in MODELS:
            await _json(send, 404, _unknown(body["model"]))
            return
        asked = _asked(body)
        token, size = hashlib.sha256(asked).hexdigest()[:24], len(asked)
        if streamed is not None and body.get("stream") is True:
            frames = streamed(body, size, token)
            first = next(frames)  # a bad request shows here, while there is still a status to give
            await _stream(send, first, frames)
        else:
            await _json(send, 200, plain(body, size, token))
    except Bad as refused:
        await _json(send, 400, _error(refused.message, refused.param, refused.code))
    except (AttributeError, KeyError, TypeError, ValueError):  # the speakers trust the shape of what they take apart
        await _json(send, 400, _error("The request has a field of a wrong type.", None, "invalid_type"))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Bad("We could not parse the JSON body of your request.", None, "invalid_json") from None
    if not isinstance(body, dict):
        raise Bad("The body must be a JSON object.", None, "invalid_json")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Bad("Missing required parameter: 'model'.", "model", "missing_required_parameter")
    return body


def _asked(body: dict[str, Any]) -> bytes:
    """What ids and counts derive from: the request but for how it is delivered, so that a stream ends in the plain reply."""
    return json.dumps({key: value for key, value in body.items() if key not in ("stream", "stream_options")}).encode()


async def _stream(send: Send, first: bytes, frames: Iterator[bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": first, "more_body": True})
    for frame in frames:
        await send({"type": "http.response.body", "body": frame, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _json(send: Send, status: int, value: dict[str, Any]) -> None:
    data = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": chat.CREATED, "owned_by": "demo"}


def _unknown(model: str) -> dict[str, Any]:
    return _error(f"The model {model!r} does not exist; there are {', '.join(MODELS)}.", "model", "model_not_found")


def _error(message: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
