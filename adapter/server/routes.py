"""Which path is whose. Raw ASGI applications, by their path or under Starlette's routes; every refusal in the APIs' own
envelope.

Clients join base URLs in every way, so each path is there with `/v1`, without it, and with it doubled; and behind `/openai`, where
Azure's clients look for it. What those call a deployment is a model.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, Final

from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from adapter.errors import AdapterError, MethodNotAllowed, NotFound, UpgradeRequired
from adapter.hub.request import DialectName
from adapter.server.counting import PATH as COUNT_PATH
from adapter.server.counting import Counting
from adapter.server.courses.course import Course, Decide
from adapter.server.courses.deciding import Courses
from adapter.server.http.outlet import Outlet
from adapter.server.pipeline import Pipeline
from adapter.server.socket.handshake import Sockets, denying
from adapter.server.turn import Turn

_PREFIXES: Final = ("/v1", "", "/v1/v1")
_AZURE: Final = "/openai/"
_OF_HANDSHAKES: Final = b"sec-websocket-key"
_SLASHES: Final = re.compile("/+")


class Front:
    """The whole application: paths without parameters are looked up (4 % of a plain request less than a search), Starlette
    routes the others, sockets and the lifespan."""

    def __init__(self, exact: Mapping[str, ASGIApp], others: Router) -> None:
        self._exact = exact
        self._others = others

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._others(scope, receive, send)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path.startswith(_AZURE):
            path = path[len(_AZURE) - 1 :]
            scope = {**scope, "path": path, "root_path": ""}
        app = self._exact.get(path) if scope["type"] == "http" else None
        if app is None and ("//" in path or path.endswith("/")):  # base URLs are joined so, too
            return self({**scope, "path": _SLASHES.sub("/", path).rstrip("/"), "root_path": ""}, receive, send)
        return (app or self._others)(scope, receive, send)


class Methods:
    """One path, by method; others are refused with `Allow`."""

    def __init__(self, pipeline: Pipeline, by_method: Mapping[str, ASGIApp]) -> None:
        self._pipeline = pipeline
        self._by_method = by_method

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        app = self._by_method.get(scope["method"])
        if app is not None:
            return app(scope, receive, send)
        if _OF_HANDSHAKES in dict(
            scope["headers"]
        ):  # a proxy has taken the rest of it away; Codex goes on over HTTP at once
            refused = UpgradeRequired("A WebSocket does not get here: a proxy in between does not pass its Upgrade on.")
            return _refused(self._pipeline, scope, receive, send, refused)
        error = MethodNotAllowed(f"This path takes {' and '.join(self._by_method)} only.")
        error.allow = ", ".join(self._by_method)
        return _refused(self._pipeline, scope, receive, send, error)


async def _not_found(pipeline: Pipeline, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        send = denying(send)
    near = _nearest(scope["path"])
    hint = f" Did you mean {near}?" if near else ""
    await _refused(pipeline, scope, receive, send, NotFound(f"There is nothing at this path.{hint}"))


def _nearest(path: str) -> str | None:
    """The path that a client with a wrongly joined base URL meant."""
    for known in ("/chat/completions", "/responses", "/responses/compact", "/models"):
        if path.rstrip("/").endswith(known):
            return f"/v1{known}"
    return None


def _refused(
    pipeline: Pipeline, scope: Scope, receive: Receive, send: Send, error: AdapterError
) -> Coroutine[Any, Any, None]:
    async def refuse() -> None:
        raise error

    turn = Turn("responses", scope, receive, Outlet(send))
    turn.surface = "none"
    return pipeline.run(turn, refuse())


def router(
    pipeline: Pipeline,
    models: ASGIApp,
    livez: ASGIApp,
    readyz: ASGIApp,
    lifespan: Any,
    stored: Mapping[str, Mapping[str, ASGIApp]],
) -> Front:
    """The whole application; `stored` is path -> method -> application of what needs a store."""
    others = dict(stored)
    stored_chats = others.pop("/chat/completions", {})

    def methods(**by_method: ASGIApp) -> Methods:
        return Methods(pipeline, by_method)

    def served(dialect: DialectName, course: Callable[[Courses], Decide]) -> ASGIApp:
        """A surface, over the courses that there are when a request comes."""

        def surface(scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
            return pipeline.serve(dialect, course(pipeline.served.courses), scope, receive, send)

        return surface

    def deployed(scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Chat Completions of the model that the path names."""
        decide, model = pipeline.served.courses.chat, scope["path_params"]["model"]

        def decided(turn: Turn, body: dict[str, Any]) -> Awaitable[Course]:
            return decide(turn, {**body, "model": model})

        return pipeline.serve("chat", decided, scope, receive, send)

    chat = methods(POST=served("chat", attrgetter("chat")), **stored_chats)
    responses = methods(POST=served("responses", attrgetter("responses")))
    compact = methods(POST=served("responses", attrgetter("compact")))
    counted = methods(POST=partial(pipeline.serve, "responses", Counting(pipeline).decide))
    sockets = Sockets(pipeline)
    listed = methods(GET=models, HEAD=models)
    ready = methods(GET=readyz, HEAD=readyz)
    exact: dict[str, ASGIApp] = {}
    routes: list[BaseRoute] = [Route("/deployments/{model:path}/chat/completions", methods(POST=deployed))]
    for prefix in _PREFIXES:
        exact |= {
            f"{prefix}/chat/completions": chat,
            f"{prefix}/responses": responses,
            f"{prefix}/responses/compact": compact,
            f"{prefix}{COUNT_PATH}": counted,
            f"{prefix}/models": listed,
            f"{prefix}/livez": methods(GET=livez, HEAD=livez),
            f"{prefix}/readyz": ready,
            f"{prefix}/health": ready,
        }
        routes.append(WebSocketRoute(f"{prefix}/responses", sockets))
        routes += [Route(f"{prefix}{path}", methods(**by_method)) for path, by_method in others.items()]
        routes.append(Route(f"{prefix}/models/{{id:path}}", listed))
    return Front(
        exact, Router(routes, redirect_slashes=False, default=partial(_not_found, pipeline), lifespan=lifespan)
    )
