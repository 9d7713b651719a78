"""Chat Completions, as its answers are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from adapter.conform import laws
from adapter.conform.live.dialect import TOKEN, Call, Dialect
from adapter.conform.live.shapes import SECONDS, WORD, Exactly, Wanted
from adapter.hub.grammar import ChatChecker

_FUNCTION: Final[Wanted] = {"id": WORD, "type": "function", "function": {"name": WORD, "arguments": str}}
_MESSAGE: Final[Wanted] = {
    "role": "assistant",
    "content": (str, None),
    "refusal?": (str, None),  # required by the official file; clients read it as null where old servers leave it out
    "tool_calls?": (None, [_FUNCTION]),
}
_LOGPROBS: Final[Wanted] = (None, {"content?": (None, [TOKEN]), "refusal?": (None, [TOKEN])})
_MORE: Final[Wanted] = {"system_fingerprint?": (None, str), "service_tier?": (None, str)}
_FINISHES: Final = ("stop", "length", "tool_calls", "content_filter", "function_call")


class Chat(Dialect):
    """`POST /chat/completions`. Where there are more choices than one, the first is the answer."""

    name: ClassVar = "chat"
    path: ClassVar = "/chat/completions"
    counts: ClassVar = ("prompt_tokens", "completion_tokens", "total_tokens")
    usage_shape: ClassVar[Wanted] = {
        **dict.fromkeys(counts, int),
        "prompt_tokens_details?": (None, {"cached_tokens?": (None, int), "audio_tokens?": (None, int)}),
        "completion_tokens_details?": (None, {"reasoning_tokens?": (None, int)}),
    }
    good_ends: ClassVar = ("[DONE]",)
    limit_keys: ClassVar = ("max_completion_tokens", "max_tokens")
    end_rules: ClassVar = ("done.missing", "done.repeat")

    def checker(self, body: dict[str, Any]) -> ChatChecker:
        return ChatChecker(n=_choices(body))

    def shape(self, body: dict[str, Any]) -> Wanted:
        said = {"message": _MESSAGE, "finish_reason": _FINISHES, "logprobs?": _LOGPROBS}
        choices = range(1 if body.get("stream") is True else _choices(body))  # a stream adds up to its first
        return {
            "id": WORD,
            "object": "chat.completion",
            "created": SECONDS,
            "model": str,
            "choices": Exactly(tuple({"index": index, **said} for index in choices)),
            **_MORE,
        }

    def events(self, body: dict[str, Any], raw: bytes) -> Iterator[tuple[str, Any, Wanted]]:
        for place, chunk in enumerate(laws.events_of(raw)):
            yield f"chunk[{place}]", chunk, {"choices?": (None, [{"logprobs?": _LOGPROBS}]), **_MORE}

    def ends(self, raw: bytes) -> list[str]:
        return laws.chat_endings(raw)

    def folded(self, raw: bytes) -> dict[str, Any]:
        chunks = laws.events_of(raw)
        said = laws.folded(raw, "chat")
        calls = [{"id": own, "type": kind, kind: inner} for own, kind, inner in said["calls"]]
        message = {"role": "assistant", "content": said["content"], "refusal": said["refusal"], "tool_calls": calls}
        deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
        heads = {key: [chunk[key] for chunk in chunks if key in chunk] for key in ("id", "created", "model")}
        others = {key: told for delta in deltas for key, told in delta.items() if told and key not in message}
        kind, counts = chunks[0].get("object"), [chunk["usage"] for chunk in chunks if chunk.get("usage") is not None]
        return {
            **{key: next(filter(None, told), told[0]) for key, told in heads.items() if told},
            "object": "chat.completion" if kind == "chat.completion.chunk" else kind,
            "choices": [{"index": 0, "message": message | others, "finish_reason": said["finish_reason"]}],
            "usage": counts[-1] if counts else None,
        }

    def grammar(self, body: dict[str, Any], raw: bytes) -> list[str]:
        """With what some clients stumble over: the official SDKs put the ids of a call's fragments together, as its names."""
        known: set[tuple[int, int, str]] = set()
        again: list[str] = []
        for place, chunk in enumerate(laws.events_of(raw)):
            for named in _named(chunk):
                if named in known:
                    again.append(
                        f"tool.id_repeat at chunk[{place}]: the id of call {named[1]} again in a later fragment"
                    )
                known.add(named)
        return [*super().grammar(body, raw), *again[:1]]

    def limit(self, body: dict[str, Any]) -> int | None:
        limit = super().limit(body)
        return limit and limit * _choices(body)  # the usage counts all choices

    def usage_problem(self, body: dict[str, Any], raw: bytes) -> str:
        options = body.get("stream_options")
        asked = isinstance(options, dict) and options.get("include_usage") is True
        told = sum(chunk.get("usage") is not None for chunk in laws.events_of(raw))
        if asked and told != 1:
            return f"include_usage was asked, and {told} chunks tell the usage"
        return f"nobody asked for the usage, and {told} chunks tell it" if told and not asked else ""

    def finish_problems(self, body: dict[str, Any], value: dict[str, Any]) -> list[str]:
        reason, calls = value["choices"][0]["finish_reason"], self.calls(value)
        called = calls if reason == "tool_calls" else value["choices"][0]["message"].get("function_call")
        if reason in ("tool_calls", "function_call") and not called:
            return [f"finish_reason is {reason!r}, and there is no such call"]
        if reason == "stop" and calls and not isinstance(body.get("tool_choice"), dict):
            return ["finish_reason is 'stop' beside tool calls; clients run calls on 'tool_calls'"]
        return []

    def cut(self, value: dict[str, Any]) -> bool:
        return value["choices"][0]["finish_reason"] in ("length", "content_filter")

    def cut_by_limit(self, value: dict[str, Any]) -> bool:
        return bool(value["choices"][0]["finish_reason"] == "length")

    def silent(self, value: dict[str, Any]) -> bool:
        return not any(said for key, said in value["choices"][0]["message"].items() if key != "role")

    def logprobs(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        return (value["choices"][0].get("logprobs") or {}).get("content") or []

    def echoes(self, body: dict[str, Any], value: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
        yield from ()

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


def _choices(body: dict[str, Any]) -> int:
    """How many choices a request asks for."""
    asked = body.get("n")
    return asked if isinstance(asked, int) and asked > 0 else 1


def _named(chunk: dict[str, Any]) -> Iterator[tuple[int, int, str]]:
    """The fragments of calls that say an id: of which choice, of which call, the id."""
    match chunk:
        case {"choices": [*choices]}:
            for choice in choices:
                match choice:
                    case {"index": int(index), "delta": {"tool_calls": [*fragments]}}:
                        for fragment in fragments:
                            match fragment:
                                case {"index": int(place), "id": str(own)} if own:
                                    yield index, place, own
