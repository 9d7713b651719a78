"""What the adapter tells the Codex CLI about itself: a catalog of models, and a block for its configuration.

Codex asks the catalog (`model_catalog_url`) which tools a model is offered. Without an entry it warns and takes what it
knows by the model's name, which for a name such as gpt-5.6 is a protocol that only OpenAI's own models were trained for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal

from adapter.kinds import Globs, PositiveInt, Section

CONTEXT_WINDOW: Final = 272_000
"""What Codex takes for a model it does not know."""
KEY_VARIABLE: Final = "ADAPTER_KEY"

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
_EFFORTS: Final[dict[Effort, str]] = {
    "none": "No reasoning",
    "minimal": "Hardly any reasoning",
    "low": "Fast answers with light reasoning",
    "medium": "Balances speed and depth of reasoning",
    "high": "Deep reasoning for hard problems",
    "xhigh": "Very deep reasoning for the hardest problems",
    "max": "All the reasoning that the model has",
}
_USUAL: Final[tuple[Effort, ...]] = ("low", "medium", "high")
_INSTRUCTIONS: Final = (
    "You are a coding agent running in the Codex CLI, a terminal-based coding assistant. Work on the user's task in the "
    "current directory with the tools you are given: read before you change, keep changes small and in the style of the "
    "code around them, run what proves them, and say plainly what you did and what is left."
)
"""Codex asks the catalog for a base prompt; this one claims no more than any model can do."""


@dataclass(frozen=True, slots=True)
class Codex(Section):
    """One of `[[upstreams.codex]]`: what Codex is told of some models. The first whose patterns match counts."""

    models: Globs = ("*",)
    """Glob patterns over the names that Codex uses."""
    context_window: PositiveInt | None = None
    """In tokens: at 90 % of it Codex compacts. None: the upstream's `window`, else what Codex takes for unknown models."""
    reasoning_levels: tuple[Effort, ...] | None = None
    """Which efforts the user can choose; none for a model without. None: the usual three where the profile has efforts."""
    apply_patch: bool = True
    """The custom tool apply_patch; otherwise the model edits files with commands."""
    namespaces: bool = True
    """Codex's own tools that live in a namespace: those for sub-agents."""
    tool_search: bool = False
    """Tools of MCP servers wait behind the tool tool_search."""
    images: bool | None = None
    """Codex may show the model images. None: as the profile says."""


def entry(
    name: str,
    priority: int,
    sections: Sequence[Codex],
    native: dict[str, Any] | None = None,
    *,
    window: int | None,
    reasons: bool,
    parallel: bool,
    images: bool,
) -> dict[str, Any]:
    """Codex's `ModelInfo`; the keywords are what the upstream can do where the operator says nothing.

    `native` is the one that the upstream itself has: over it goes only what the operator says.
    """
    info: dict[str, Any] = {
        "slug": name,
        "display_name": name,
        "description": None,
        **_reasoning(_USUAL if reasons else (), _USUALLY),
        "shell_type": "unified_exec",
        "visibility": "list",
        "supported_in_api": True,
        "priority": priority,
        "base_instructions": _INSTRUCTIONS,
        "support_verbosity": False,
        "default_verbosity": None,
        "apply_patch_tool_type": "freeform",
        "supports_search_tool": False,
        "use_responses_lite": False,
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "supports_parallel_tool_calls": parallel,
        "context_window": window or CONTEXT_WINDOW,
        "experimental_supported_tools": [],
        "input_modalities": _modalities(images),
    }
    if native is not None:
        native = {key: value for key, value in native.items() if value is not None or key not in _NEEDED}
        needed = {key: info[key] for key in _NEEDED if _INSTEAD.get(key) not in native}
        info = needed | native | {"slug": name, "priority": priority}
    section = matching(name, sections)
    return info if section is None else info | _said(section, info.get("default_reasoning_level") or _USUALLY)


_USUALLY: Final = "medium"
_NEEDED: Final = (
    "slug",
    "display_name",
    "supported_reasoning_levels",
    "shell_type",
    "visibility",
    "supported_in_api",
    "priority",
    "base_instructions",
    "support_verbosity",
    "truncation_policy",
    "experimental_supported_tools",
)
"""Where one entry lacks one of these, Codex takes nothing of the whole catalog."""
_INSTEAD: Final = {"base_instructions": "model_messages"}
"""What of that need not be there where another is."""


def matching(name: str, sections: Sequence[Codex]) -> Codex | None:
    """The section that counts for a model."""
    return next((s for s in sections if any(fnmatchcase(name, glob) for glob in s.models)), None)


def _said(section: Codex, usually: str) -> dict[str, Any]:
    """What the operator says of a model whose usual effort is that."""
    said: dict[str, Any] = {
        "apply_patch_tool_type": "freeform" if section.apply_patch else None,
        "supports_search_tool": section.tool_search,
    }
    if not section.namespaces:
        said["multi_agent_version"] = "disabled"
    if section.context_window is not None:
        said["context_window"] = section.context_window
    if section.reasoning_levels is not None:
        said |= _reasoning(section.reasoning_levels, usually)
    if section.images is not None:
        said["input_modalities"] = _modalities(section.images)
    return said


def _reasoning(levels: tuple[Effort, ...], usually: str) -> dict[str, Any]:
    return {
        "default_reasoning_level": usually if usually in levels else next(iter(levels), None),
        "supported_reasoning_levels": [{"effort": level, "description": _EFFORTS[level]} for level in levels],
        "supports_reasoning_summaries": bool(levels),
    }


def _modalities(images: bool) -> list[str]:
    return ["text", "image"] if images else ["text"]


def config_block(base_url: str, model: str, *, key: bool, known: bool = False, catalog: Path | None = None) -> str:
    """Lines for `~/.codex/config.toml`; with `key` Codex reads one from the environment, and does not start without. It asks for
    the catalog only where it has a key: without `key` it is given one that means nothing. `known`: it is not to ask, since it
    has better entries of its own, which a catalog takes away, even one without any models. `catalog`: the file that it finds
    it in instead."""
    asks = f"{_IF_UNKNOWN if known else ''}model_catalog_url = {json.dumps(base_url + '/models')}"
    lines = [
        f"model = {json.dumps(model)}",
        'model_provider = "adapter"',
        *([] if catalog is None else [f"model_catalog_json = {json.dumps(str(catalog), ensure_ascii=False)}"]),
        "",
        "[model_providers.adapter]",
        'name = "adapter"',
        f"base_url = {json.dumps(base_url)}",
        *([asks] if catalog is None else []),
        'wire_api = "responses"',
        *([] if key else ['experimental_bearer_token = "none"']),
        f'{"" if key else "# "}env_key = "{KEY_VARIABLE}"  # where the key for the model server or the adapter is found',
    ]
    return "\n".join(lines)


_IF_UNKNOWN: Final = "# Codex knows OpenAI's models by itself; only for names that it does not know:\n# "
