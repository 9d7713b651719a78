"""The grammar of a Chat Completions stream."""

from __future__ import annotations

from types import NoneType
from typing import Any, Final

from adapter.hub.grammar import framing
from adapter.hub.grammar.violation import Violation, shown

HEAD: Final = ("id", "created", "model", "object")
"""Equal in every chunk."""
TEXTS: Final = ("content", "refusal")
"""Fields of a delta that clients append."""


class _Choice:
    __slots__ = ("calls", "finish", "function_call")

    def __init__(self) -> None:
        self.calls: dict[Any, dict[str, Any]] = {}
        self.finish: Any = None
        self.function_call = False


class ChatChecker(framing.Checker):
    """The chunks of one Chat stream, in order."""

    unit = "chunk"

    def __init__(self, *, include_usage: bool | None = None, n: int | None = None, framed: bool = False) -> None:
        """`include_usage` and `n` as the client asked; None where nobody knows. `framed`: `[DONE]` is expected."""
        super().__init__()
        self._include_usage = include_usage
        self._n_asked = n
        self._head: dict[str, Any] | None = None
        self._choices: dict[Any, _Choice] = {}
        self._usage = False
        self._errored = False
        self._framed = framed

    def feed_frame(self, name: str | None, data: bytes) -> list[Violation]:
        """As `feed`, for one frame; whoever feeds frames must end with `[DONE]`, or with an error."""
        self._framed = True
        return super().feed_frame(name, data)

    def end(self) -> list[Violation]:
        self._found = []
        if self._n == 0:
            self._broken("empty", "no chunks", at="end")
        if not self._errored:
            self._whole()
            if self._framed and not self._done_seen:
                self._broken("done.missing", "no [DONE]", at="end")
        return self._found

    def _whole(self) -> None:
        for index, choice in self._choices.items():
            if choice.finish is None:
                self._broken("finish.missing", f"choice {shown(index)} has no finish_reason", at="end")
        if not self._choices and self._n:
            self._broken("no_choices", "no choice at all", at="end")
        indices = sorted(index for index in self._choices if isinstance(index, int))
        if indices != list(range(len(indices))):
            self._broken("choice.index", f"choice indices {indices} do not count from 0", at="end")
        if self._n_asked is not None and self._choices and len(indices) != self._n_asked:
            self._broken("choice.count", f"{len(indices)} choices, n was {self._n_asked}", at="end")
        if self._include_usage and not self._usage:
            self._broken("usage.missing", "include_usage was asked and no usage came", at="end")

    # --------------------------------------------------------------------------------------------------- one chunk

    def _take(self, chunk: dict[str, Any]) -> None:
        if self._errored:
            self._broken("after_error", "a chunk after an error frame")
        if "error" in chunk and "choices" not in chunk:
            self._errored = True
            return
        head = {key: chunk.get(key) for key in HEAD}
        if self._head is None:
            self._head = head
            if head["object"] != "chat.completion.chunk":
                self._broken("malformed", f"object is {shown(head['object'])}, expected 'chat.completion.chunk'")
        for key in HEAD:
            if head[key] != self._head[key]:
                self._broken("head.unstable", f"{key} {shown(head[key])}, was {shown(self._head[key])}")
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            self._broken("malformed", "a chunk without a list of choices")
            return
        self._take_usage(chunk.get("usage"), choices)
        for position, choice in enumerate(choices):
            if not isinstance(choice, dict) or not isinstance(choice.get("delta"), dict):
                self._broken("malformed", "a choice without a delta", at=f".choices[{position}]")
            elif not isinstance(choice.get("index"), int):
                self._broken("malformed", "a choice without an index", at=f".choices[{position}]")
            else:
                self._delta(choice["index"], choice["delta"], choice.get("finish_reason"))

    def _take_usage(self, usage: Any, choices: list[Any]) -> None:
        if self._usage:
            self._broken("usage.not_last", "a chunk after the usage chunk")
        if usage is None:
            return
        if self._usage:
            self._broken("usage.repeat", "a second usage chunk")
        if choices:
            self._broken("usage.choices", "usage beside choices")
        elif not self._choices or any(choice.finish is None for choice in self._choices.values()):
            self._broken("usage.early", "the usage chunk comes before a finish_reason")
        self._usage = True

    def _delta(self, index: int, delta: dict[str, Any], finish: Any) -> None:
        at = f".choices[{index}]"
        if index not in self._choices and delta.get("role") != "assistant":
            self._broken("role.first", f"the first delta has role {shown(delta.get('role'))}", at=at)
        elif delta.get("role") not in ("assistant", "", None):
            self._broken("role.changed", f"a later delta has role {shown(delta['role'])}", at=at)
        choice = self._choices.setdefault(index, _Choice())
        if choice.finish is not None:
            self._broken("choice.after_finish", "a delta after finish_reason", at=at)
        for key in TEXTS:
            if not isinstance(delta.get(key), (str, NoneType)):
                self._broken("malformed", f"{key} is {shown(delta[key])}, expected a string", at=f"{at}.delta")
        choice.function_call = choice.function_call or isinstance(delta.get("function_call"), dict)
        fragments = delta.get("tool_calls")
        if not isinstance(fragments, (list, NoneType)):
            self._broken("malformed", f"tool_calls is {shown(fragments)}, expected a list", at=f"{at}.delta")
        for fragment in fragments if isinstance(fragments, list) else ():
            if isinstance(fragment, dict):
                self._fragment(choice, fragment, at)
            else:
                self._broken("malformed", f"a call is {shown(fragment)}, expected an object", at=f"{at}.delta")
        if finish == "":
            self._broken("malformed", "finish_reason is '', expected null until the last delta", at=at)
        elif finish is not None:
            choice.finish = finish
            if finish == "tool_calls" and not choice.calls:
                self._broken("finish.tools_without_calls", "finish_reason tool_calls without a call", at=at)
            if finish == "function_call" and not choice.function_call:
                self._broken("finish.fcall_without", "finish_reason function_call without one", at=at)

    def _fragment(self, choice: _Choice, fragment: dict[str, Any], at: str) -> None:
        index = fragment.get("index")
        index = index if isinstance(index, int) else None
        known = choice.calls.get(index)
        kind = fragment.get("type") or (known or {}).get("type") or "function"
        inner = fragment.get(kind) if isinstance(kind, str) else None
        name = inner.get("name") if isinstance(inner, dict) else None
        for key in ("arguments", "input"):
            if isinstance(inner, dict) and not isinstance(inner.get(key, ""), str):
                self._broken("malformed", f"{key} of call {index} is {shown(inner[key])}, expected a string", at=at)
        own_id = fragment.get("id")
        if known is not None:
            if own_id not in (None, "") and own_id != known["id"]:
                self._broken("tool.id_repeat", f"another id in a later fragment of call {index}", at=at)
            if name not in (None, ""):
                self._broken("tool.name_repeat", f"the name again in a later fragment of call {index}", at=at)
            return
        if index != len(choice.calls):
            self._broken("tool.index", f"new call at index {index}, expected {len(choice.calls)}", at=at)
        if not own_id:
            self._broken("tool.no_id", f"the first fragment of call {index} has no id", at=at)
        elif any(call["id"] == own_id for call in choice.calls.values()):
            self._broken("tool.id_dup", f"call id {shown(own_id)} used twice", at=at)
        if not fragment.get("type"):
            self._broken("tool.no_type", f"the first fragment of call {index} has no type", at=at)
        if not name:
            self._broken("tool.no_name", f"the first fragment of call {index} has no name", at=at)
        choice.calls[index] = {"id": own_id, "type": kind}


def check_chat(stream: framing.Streamed, *, include_usage: bool | None = None, n: int | None = None) -> list[Violation]:
    """What a whole Chat stream breaks: raw bytes, frames, or parsed chunks (which have no `[DONE]` to check)."""
    framed = isinstance(stream, (bytes, bytearray, memoryview))
    return ChatChecker(include_usage=include_usage, n=n, framed=framed).whole(stream)
