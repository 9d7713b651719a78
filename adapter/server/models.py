"""GET /v1/models and /v1/models/{id}: one answer for OpenAI clients (`object`, `data`) and for Codex (`models`)."""

from __future__ import annotations

import re
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from adapter.codex import entry
from adapter.errors import ModelNotFound
from adapter.server.http.outlet import Outlet
from adapter.server.pipeline import Pipeline
from adapter.server.turn import Turn
from adapter.upstream.models import Model
from adapter.wire.headers import JSON
from adapter.wire.jsonio import dumps

_VERSION: Final = re.compile(rb"(?:^|&)client_version=([0-9A-Za-z.-]{1,32})(?:&|$)")
"""By which a Codex says that it asks."""


class Models:
    """The list, or the one model that the path names."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        turn = Turn("responses", scope, receive, Outlet(send))
        turn.lane = turn.surface = "models"
        return self._pipeline.run(turn, self._serve(turn, scope))

    async def _serve(self, turn: Turn, scope: Scope) -> None:
        self._pipeline.admit(turn, scope)
        served, groups = self._pipeline.served, turn.caller.groups
        codex = _VERSION.search(scope["query_string"])
        caller = turn.headers, turn.callers_key, turn.request_id, codex[1].decode() if codex else ""
        access = served.courses.routing.access
        if access is None:
            models = await served.catalog.models(*caller)
        else:
            models = await served.catalog.models(*caller, access.visible(groups), partial(access.allows, groups))
        wanted = scope.get("path_params", {}).get("id")
        body = _whole(models) if wanted is None else _entry(_named(models, wanted))
        await turn.outlet.whole(200, JSON, dumps(body))


def _named(models: list[Model], name: str) -> Model:
    for model in models:
        if model.id == name:
            return model
    raise ModelNotFound("No upstream serves a model of this name; GET /v1/models lists those there are.", param="model")


def _whole(models: list[Model]) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [_entry(model) for model in models],
        "models": [_codex(model, priority) for priority, model in enumerate(models)],
    }


def _entry(model: Model) -> dict[str, Any]:
    own = {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}
    return own | model.told.further


def _codex(model: Model, priority: int) -> dict[str, Any]:
    """What Codex is told of it."""
    upstream = model.upstream
    profile = upstream.profile
    return entry(
        model.id,
        priority,
        upstream.codex,
        model.told.native,
        window=upstream.window or model.told.window,
        reasons=upstream.dialect == "responses" or profile.reasoning_effort,
        parallel=profile.parallel_tool_calls,
        images=profile.images,
    )
