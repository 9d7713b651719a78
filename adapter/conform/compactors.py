"""Scripted upstreams that compact, one for every kind there is: strict, deterministic, with a memory that can be checked.

Such a peer knows what it is told: every word `FACT-…` of a request, in messages, tool outputs, summaries, and in blobs of its
own. Each of its answers, summaries and blobs names all facts that it was told, so whoever lost one on the way is found out.

    peer = CompactPeer("trigger")
    … serve peer.app, drive the adapter …
    assert "FACT-1" in answer and peer.problems == []
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, Final, Literal, get_args

from starlette.types import Receive, Scope, Send

from adapter.conform.peers import ChatPeer, Line, Peer, ResponsesPeer, message
from adapter.conform.speaking import CREATED, Spoken, response
from adapter.upstream.profiles import GENERIC, Profile

Kind = Literal["compaction", "response", "gomodel", "chat", "trigger", "none_chat", "none_responses"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
BLOB: Final = "peer:"
"""How this peer's own blobs begin; it opens no others."""

_FACT: Final = re.compile(r"FACT-\w+")
_ENDPOINT_KEYS: Final[dict[str, set[str]]] = {
    "compaction": {
        *("model", "input", "instructions", "previous_response_id", "service_tier"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
    },
    "response": {"model", "input", "instructions", "prompt_cache_key"},
    "gomodel": {"model", "input", "instructions", "metadata", "reasoning", "provider", "prompt_cache_key"},
}


def facts(value: Any) -> str:
    """Every fact in a JSON value, sorted, with a blank between."""
    return " ".join(sorted(set(_FACT.findall(json.dumps(value)))))


class CompactPeer:
    """A model server of one kind."""

    def __init__(self, kind: Kind, profile: Profile = GENERIC) -> None:
        self.kind = kind
        self.profile = profile
        self.seen: list[tuple[str, dict[str, Any]]] = []
        """(path, body) of every request, in their order."""
        self._chat = kind in ("chat", "none_chat")
        main: Peer = _Chat(self) if self._chat else _Responses(self)
        self._peers: list[Peer] = [main]
        if kind not in ("trigger", "none_chat", "none_responses"):
            self._peers.append(_ChatEndpoint(self) if kind == "chat" else _Endpoint(self))

    @property
    def dialect(self) -> str:
        """What it speaks beside its endpoint."""
        return "chat" if self._chat else "responses"

    @property
    def compact(self) -> str:
        """What a configuration calls this kind."""
        return {"gomodel": "response", "none_chat": "none", "none_responses": "none"}.get(self.kind, self.kind)

    @property
    def problems(self) -> list[str]:
        """What was refused, and why."""
        return [problem for peer in self._peers for problem in peer.problems]

    @property
    def paths(self) -> list[str]:
        """Where the requests went."""
        return [path for path, _ in self.seen]

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        path = scope.get("path", "").removeprefix("/v1")
        peer = next((peer for peer in self._peers if peer.path == path), self._peers[0])
        await peer.app(scope, receive, send)


def _answers(body: dict[str, Any]) -> Spoken:
    return message(f"I know {facts(body)}.")


class _Chat(ChatPeer):
    def __init__(self, owner: CompactPeer) -> None:
        super().__init__([_answers], profile=owner.profile)
        self._owner = owner

    def checked(self, body: dict[str, Any]) -> list[str]:
        self._owner.seen.append((self.path, body))
        return super().checked(body)


class _ChatEndpoint(_Chat):
    path = "/responses/compact"


class _Responses(ResponsesPeer):
    def __init__(self, owner: CompactPeer) -> None:
        super().__init__([self._turn])
        self._owner = owner

    def checked(self, body: dict[str, Any]) -> list[str]:
        self._owner.seen.append((self.path, body))
        found = [f"unknown parameter {key}" for key in ("context_management", "messages") if key in body]
        found += _foreign(body)
        items = body["input"] if isinstance(body["input"], list) else []
        triggers = [index for index, item in enumerate(items) if item.get("type") == "compaction_trigger"]
        if triggers and (self._owner.kind != "trigger" or triggers != [len(items) - 1]):
            found.append(f"input[{triggers[0]}]: no trigger belongs here")
        return super().checked(body) + found

    def _turn(self, body: dict[str, Any]) -> Spoken:
        if isinstance(body["input"], list) and body["input"][-1].get("type") == "compaction_trigger":
            blob = {"type": "compaction", "id": "cmp_0", "encrypted_content": BLOB + facts(body)}
            return replace(message("-"), items=[blob])
        return _answers(body)


class _Endpoint(ResponsesPeer):
    path = "/responses/compact"

    def __init__(self, owner: CompactPeer) -> None:
        super().__init__([self._turn])
        self._owner = owner

    def checked(self, body: dict[str, Any]) -> list[str]:
        self._owner.seen.append((self.path, body))
        found = [f"unknown parameter {key}" for key in body.keys() - _ENDPOINT_KEYS[self._owner.kind]]
        found += [] if body.get("input") else ["nothing to compact"]
        return found + _foreign(body)

    def _turn(self, body: dict[str, Any]) -> Line:
        spoken = replace(_answers(body), model=body["model"])
        usage = spoken.usage
        whole: dict[str, Any]
        match self._owner.kind:
            case "compaction":
                given = (
                    body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
                )
                kept = [
                    {"type": "message", "id": f"msg_{index}", "status": "completed", **item}
                    for index, item in enumerate(given)
                    if item.get("role") == "user"
                ]
                blob = {"type": "compaction", "id": "cmp_0", "encrypted_content": BLOB + facts(body)}
                whole = {
                    "id": "resp_0",
                    "object": "response.compaction",
                    "created_at": CREATED,
                    "output": [*kept, blob],
                    "usage": usage,
                }
            case "gomodel":
                whole = {
                    **{key: response(spoken)[key] for key in ("id", "object", "created_at", "error", "output")},
                    "metadata": body.get("metadata", {}),
                    "provider": "peer",
                    "usage": {
                        "input_tokens": usage["input_tokens"],
                        "output_tokens": usage["output_tokens"],
                        "total_tokens": usage["total_tokens"],
                        "prompt_tokens_details": {"cached_tokens": 0},
                        "completion_tokens_details": {"reasoning_tokens": 0},
                        "raw_usage": {},
                    },
                }
            case _:
                text = [{"type": "output_text", "text": spoken.text}]
                whole = {
                    "id": "resp_0",
                    "object": "response",
                    "model": body["model"],
                    "status": "completed",
                    "output": [{"type": "message", "role": "assistant", "content": text}],
                    "usage": {key: usage[key] for key in ("input_tokens", "output_tokens", "total_tokens")},
                }
        return Line(plain=json.dumps(whole).encode())


def _foreign(body: dict[str, Any]) -> list[str]:
    """Blobs that this peer did not make."""
    items = body.get("input")
    return [
        f"input[{index}]: not my blob"
        for index, item in enumerate(items if isinstance(items, list) else [])
        if not str(item.get("encrypted_content", BLOB)).startswith(BLOB)
    ]
