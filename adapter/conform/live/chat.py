"""Chat Completions, as its answers are read."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from adapter.conform import laws
from adapter.conform.live.dialect import Call, Dialect
from adapter.conform.live.shapes import One, Wanted
from adapter.hub.grammar import ChatChecker

_FUNCTION: Final[Wanted] = {"id": str, "type": "function", "function": {"name": str, "arguments": str}}
_MESSAGE: Final[Wanted] = {
    "role": "assistant",
    "content": (str, None),
    "refusal?": (str, None),  # required by the official file; clients read it as null where old servers leave it out
    "tool_calls?": (None, [_FUNCTION]),
}
_FINISHES: Final = ("stop", "length", "tool_calls", "content_filter", "function_call")


class Chat(Dialect):
    """`POST /chat/completions`, one choice."""

    name: ClassVar = "chat"
    path: ClassVar = "/chat/completions"
    shape: ClassVar[Wanted] = {
        "id": str,
        "object": "chat.completion",
        "created": int,
        "model": str,
        "choices": One({"index": int, "message": _MESSAGE, "finish_reason": _FINISHES}),
    }
    counts: ClassVar = ("prompt_tokens", "completion_tokens", "total_tokens")
    usage_shape: ClassVar[Wanted] = dict.fromkeys(counts, int)
    good_ends: ClassVar = ("[DONE]",)
    limit_keys: ClassVar = ("max_completion_tokens", "max_tokens")
    end_rules: ClassVar = ("done.missing", "done.repeat")

    def checker(self) -> ChatChecker:
        return ChatChecker(n=1)

    def ends(self, raw: bytes) -> list[str]:
        return laws.chat_endings(raw)

    def folded(self, raw: bytes) -> dict[str, Any]:
        chunks = laws.events_of(raw)
        said = laws.folded(raw, "chat")
        calls = [{"id": own, "type": kind, kind: inner} for own, kind, inner in said["calls"]]
        message = {"role": "assistant", "content": said["content"], "refusal": said["refusal"], "tool_calls": calls}
        kind, counts = chunks[0].get("object"), [chunk["usage"] for chunk in chunks if chunk.get("usage") is not None]
        return {
            **{key: chunks[0][key] for key in ("id", "created", "model") if key in chunks[0]},
            "object": "chat.completion" if kind == "chat.completion.chunk" else kind,
            "choices": [{"index": 0, "message": message, "finish_reason": said["finish_reason"]}],
            "usage": counts[-1] if counts else None,
        }

    def usage_problem(self, body: dict[str, Any], raw: bytes) -> str:
        options = body.get("stream_options")
        asked = isinstance(options, dict) and options.get("include_usage") is True
        told = sum(chunk.get("usage") is not None for chunk in laws.events_of(raw))
        if asked and told != 1:
            return f"include_usage was asked, and {told} chunks tell the usage"
        return f"nobody asked for the usage, and {told} chunks tell it" if told and not asked else ""

    def finish_problems(self, body: dict[str, Any], value: dict[str, Any]) -> list[str]:
        reason, calls = value["choices"][0]["finish_reason"], self.calls(value)
        if reason == "tool_calls" and not calls:
            return ["finish_reason is 'tool_calls', and there is no call"]
        if reason == "stop" and calls and not isinstance(body.get("tool_choice"), dict):
            return ["finish_reason is 'stop' beside tool calls; clients run calls on 'tool_calls'"]
        return []

    def cut(self, value: dict[str, Any]) -> bool:
        return value["choices"][0]["finish_reason"] in ("length", "content_filter")

    def calls(self, value: dict[str, Any]) -> list[Call]:
        calls = value["choices"][0]["message"].get("tool_calls") or []
        return [Call(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls]

    def text(self, value: dict[str, Any]) -> str:
        return value["choices"][0]["message"]["content"] or ""

    def item_ids(self, value: dict[str, Any]) -> list[str]:
        return []

    def schema(self, body: dict[str, Any]) -> dict[str, Any]:
        schema: dict[str, Any] = body["response_format"]["json_schema"]["schema"]
        return schema

    def with_results(self, body: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
        said = value["choices"][0]["message"]
        spoken = {"role": "assistant", "content": said["content"], "tool_calls": said["tool_calls"]}
        results = [{"role": "tool", "tool_call_id": call.id, "content": "18 degrees"} for call in self.calls(value)]
        kept = {key: asked for key, asked in body.items() if key not in ("tool_choice", "stream", "stream_options")}
        return {**kept, "messages": [*body["messages"], spoken, *results]}
