"""Responses, as its answers are read."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from adapter.conform.laws import TERMINALS, events_of
from adapter.conform.live.dialect import Call, Dialect
from adapter.conform.live.shapes import Kinds, Wanted
from adapter.hub.grammar import ResponsesChecker

_STATUSES: Final = ("in_progress", "completed", "incomplete")
_PART: Final = Kinds({"output_text": {"text": str, "annotations": list}, "refusal": {"refusal": str}})
_ITEM: Final = Kinds(
    {
        "message": {"id": str, "role": "assistant", "status": _STATUSES, "content": [_PART]},
        "function_call": {
            "call_id": str,
            "name": str,
            "arguments": str,
            "id?": (None, str),
            "status?": (None, *_STATUSES),
        },
        "custom_tool_call": {"call_id": str, "name": str, "input": str, "id?": (None, str)},
        "reasoning": {"id": str, "summary": [{"type": "summary_text", "text": str}]},
    }
)
_SENT_BACK: Final = {
    "function_call": ("type", "call_id", "name", "arguments"),
    "custom_tool_call": ("type", "call_id", "name", "input"),
}
"""What a call is to a server that stores nothing: neither ids nor reasoning."""


class Responses(Dialect):
    """`POST /responses`, nothing stored."""

    name: ClassVar = "responses"
    path: ClassVar = "/responses"
    shape: ClassVar[Wanted] = {
        "id": str,
        "object": "response",
        "created_at": float,
        "model": str,
        "status": ("completed", "incomplete", "failed", "in_progress", "queued", "cancelled"),
        "output": [_ITEM],
        "error": (None, {"code": str, "message": str}),
        "incomplete_details": (None, {"reason": str}),
        "parallel_tool_calls": bool,
        "tool_choice": (str, dict),
        "tools": list,
    }
    counts: ClassVar = ("input_tokens", "output_tokens", "total_tokens")
    usage_shape: ClassVar[Wanted] = {
        **dict.fromkeys(counts, int),
        "input_tokens_details": {"cached_tokens": int},
        "output_tokens_details": {"reasoning_tokens": int},
    }
    good_ends: ClassVar = ("response.completed", "response.incomplete")
    limit_keys: ClassVar = ("max_output_tokens",)
    end_rules: ClassVar = ("no_terminal",)

    def checker(self) -> ResponsesChecker:
        return ResponsesChecker()

    def ends(self, raw: bytes) -> list[str]:
        kinds = [event.get("type") for event in events_of(raw)]
        return [kind for kind in kinds if isinstance(kind, str) and (kind in TERMINALS or kind == "error")]

    def folded(self, raw: bytes) -> dict[str, Any]:
        told: dict[str, Any] = next(event for event in events_of(raw) if event.get("type") in TERMINALS)["response"]
        return told

    def usage_problem(self, body: dict[str, Any], raw: bytes) -> str:
        return "" if self.folded(raw).get("usage") is not None else "the last event's response tells no usage"

    def finish_problems(self, body: dict[str, Any], value: dict[str, Any]) -> list[str]:
        status, details = value["status"], value.get("incomplete_details")
        if status not in ("completed", "incomplete"):
            return [f"status is {status!r} in an answer that nobody asked to be given later"]
        found = [f"status is {status!r} beside an error"] if value.get("error") is not None else []
        if status == "incomplete" and details is None:
            found.append("status is 'incomplete' without incomplete_details")
        if status == "completed" and details is not None:
            found.append("status is 'completed' beside incomplete_details")
        unfinished = [item["type"] for item in value["output"] if (item.get("status") or "completed") != "completed"]
        if status == "completed" and unfinished:
            found.append(f"status is 'completed', but not that of every item: {', '.join(unfinished)}")
        return found

    def cut(self, value: dict[str, Any]) -> bool:
        return bool(value["status"] != "completed")

    def calls(self, value: dict[str, Any]) -> list[Call]:
        return [
            Call(item["call_id"], item["name"], item.get("arguments"))
            for item in value["output"]
            if item["type"] in _SENT_BACK
        ]

    def text(self, value: dict[str, Any]) -> str:
        parts = [part for item in value["output"] if item["type"] == "message" for part in item["content"]]
        return "".join(part["text"] for part in parts if part["type"] == "output_text")

    def item_ids(self, value: dict[str, Any]) -> list[str]:
        return [item["id"] for item in value["output"] if isinstance(item.get("id"), str)]

    def schema(self, body: dict[str, Any]) -> dict[str, Any]:
        schema: dict[str, Any] = body["text"]["format"]["schema"]
        return schema

    def with_results(self, body: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
        made = [item for item in value["output"] if item["type"] in _SENT_BACK]
        calls = [{key: item[key] for key in _SENT_BACK[item["type"]]} for item in made]
        results = [
            {"type": f"{call['type']}_output", "call_id": call["call_id"], "output": "18 degrees"} for call in calls
        ]
        question = {"type": "message", "role": "user", "content": body["input"]}
        kept = {key: asked for key, asked in body.items() if key not in ("tool_choice", "stream")}
        return {**kept, "input": [question, *calls, *results]}
