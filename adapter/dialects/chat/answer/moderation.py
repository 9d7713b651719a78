"""Moderation results of an answer: a list of results a side in Chat, one result a side in Responses and the hub."""

from __future__ import annotations

from typing import Any, Final

from adapter.wire.jsonio import dumps

_SIDES: Final = ("input", "output")
_RESULT_MAPS: Final = ("categories", "category_scores", "category_applied_input_types")


def to_responses(moderation: Any) -> dict[str, Any] | None:
    """Chat's moderation in the Responses shape: of several results the first flagged one, else the first. None for what
    is not whole: clients read these with strict types."""
    if not isinstance(moderation, dict):
        return None
    sides = {side: _side(moderation.get(side)) for side in _SIDES}
    return None if None in sides.values() else sides


def to_chat(moderation: Any) -> dict[str, Any] | None:
    """The Responses shape as Chat has it; None for what is not whole."""
    if not isinstance(moderation, dict):
        return None
    sides: dict[str, Any] = {}
    for side in _SIDES:
        found = _whole(moderation.get(side))
        if found is None:
            return None
        if found["type"] == "moderation_result":
            found = {"type": "moderation_results", "model": found["model"], "results": [found]}
        sides[side] = found
    return sides


def _side(side: Any) -> dict[str, Any] | None:
    if not isinstance(side, dict) or side.get("type") != "moderation_results":
        return _whole(side)
    results = side.get("results")
    whole = [found for result in results if (found := _whole(result))] if isinstance(results, list) else []
    return next((result for result in whole if result.get("flagged")), whole[0] if whole else None)


def _whole(result: Any) -> dict[str, Any] | None:
    """A result or an error with all that its type must have."""
    if not isinstance(result, dict):
        return None
    if result.get("type") == "error":
        return result if all(isinstance(result.get(key), str) for key in ("code", "message")) else None
    complete = (
        result.get("type") == "moderation_result"
        and isinstance(result.get("model"), str)
        and isinstance(result.get("flagged"), bool)
        and all(isinstance(result.get(key), dict) for key in _RESULT_MAPS)
    )
    return result if complete and _is_writable(result) else None


def _is_writable(value: Any) -> bool:
    try:
        dumps(value)
    except ValueError:
        return False
    return True
