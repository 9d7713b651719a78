"""Small Responses objects and items."""

from __future__ import annotations

from typing import Any


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text, **more}


def assistant(text: str, id: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": id, "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def response(id: str, *output: dict[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "object": "response",
        "created_at": 1_800_000_000,
        "status": status,
        "model": "small",
        "output": list(output),
        "previous_response_id": None,
        **more,
    }


def texts(items: list[dict[str, Any]] | None) -> list[str] | None:
    """What the items say, to compare histories by."""
    if items is None:
        return None
    return [i["content"] if isinstance(i["content"], str) else i["content"][0]["text"] for i in items]
