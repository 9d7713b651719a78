"""GET /v1/models and /v1/models/{id}: one answer for OpenAI clients (`object`, `data`) and for Codex (`models`)."""

from __future__ import annotations

from typing import Any, Final

from starlette.types import Receive, Scope, Send

from adapter.errors import AdapterError, ModelNotFound
from adapter.server.caller import Gate
from adapter.server.outlet import Outlet
from adapter.server.refusal import refusal
from adapter.server.turn import Turn
from adapter.upstream.models import Catalog, Model
from adapter.wire.headers import RawHeaders
from adapter.wire.jsonio import dumps

_JSON: RawHeaders = [(b"content-type", b"application/json")]

CONTEXT_WINDOW: Final = 272_000
"""What Codex takes for a model it does not know."""
_EFFORTS: Final = {
    "low": "Fast answers with light reasoning",
    "medium": "Balances speed and depth of reasoning",
    "high": "Deep reasoning for hard problems",
}
_INSTRUCTIONS: Final = (
    "You are a coding agent running in the Codex CLI, a terminal-based coding assistant. Work on the user's task in the "
    "current directory with the tools you are given: read before you change, keep changes small and in the style of the "
    "code around them, run what proves them, and say plainly what you did and what is left."
)
"""Codex asks the catalog for a base prompt; this one claims no more than any model can do."""


class Models:
    """The list, or the one model that the path names."""

    def __init__(self, catalog: Catalog, gate: Gate) -> None:
        self._catalog = catalog
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        turn = Turn("responses", scope, receive, Outlet(send))
        try:
            turn.check_headers(scope)
            turn.caller = self._gate.admit(turn.headers)
            models = await self._catalog.models(turn.headers, turn.callers_key, turn.request_id)
            wanted = scope.get("path_params", {}).get("id")
            body = _whole(models) if wanted is None else _entry(_named(models, wanted))
            await turn.outlet.whole(200, _JSON, dumps(body))
        except AdapterError as error:
            await turn.outlet.whole(*refusal(error, turn.client))


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
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}


def _codex(model: Model, priority: int) -> dict[str, Any]:
    """Codex's `ModelInfo`: plain function tools, nothing deferred, nothing that only OpenAI's own models know."""
    profile = model.upstream.profile
    reasons = model.upstream.dialect == "responses" or profile.reasoning_effort
    return {
        "slug": model.id,
        "display_name": model.id,
        "description": None,
        "default_reasoning_level": "medium" if reasons else None,
        "supported_reasoning_levels": [
            {"effort": effort, "description": description} for effort, description in _EFFORTS.items() if reasons
        ],
        "shell_type": "unified_exec",
        "visibility": "list",
        "supported_in_api": True,
        "priority": priority,
        "base_instructions": _INSTRUCTIONS,
        "supports_reasoning_summaries": reasons,
        "support_verbosity": False,
        "default_verbosity": None,
        "apply_patch_tool_type": "freeform",
        "supports_search_tool": False,
        "use_responses_lite": False,
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "supports_parallel_tool_calls": profile.parallel_tool_calls,
        "context_window": CONTEXT_WINDOW,
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"] if profile.images else ["text"],
    }
