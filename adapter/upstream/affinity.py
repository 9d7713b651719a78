"""Which of several targets a conversation goes to: always the same one, for its prompt cache.

Rendezvous hashing: every target scores every session, the best score wins, and the order of scores is the order of
failover. A target that dies moves only its own sessions, and spreads them over all others; when it is back it gets exactly
those again. Weights scale scores so that a target of weight 2 wins twice as many sessions as one of weight 1.
A lower priority number goes before any score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import log
from typing import Any, Final, Protocol, TypeVar

from adapter.wire.headers import Headers
from adapter.wire.jsonio import dumps

_OPENING: Final = 4096
"""Bytes of the first user message that count: what follows a prompt's beginning does not change where it belongs."""
_SPAN: Final = 1 << 64


class Ranked(Protocol):
    """What can be chosen among."""

    @property
    def rank_name(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def priority(self) -> int: ...


R = TypeVar("R", bound=Ranked)


def session(body: Mapping[str, Any], headers: Headers) -> bytes:
    """What tells one conversation from another, best evidence first; empty where there is none at all."""
    if isinstance(key := body.get("prompt_cache_key"), str) and key:
        return b"k" + key.encode("utf-8", "replace")
    if given := headers.get(b"session-id") or headers.get(b"session_id"):
        return b"s" + given
    conversation = body.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    for kind, value in ((b"c", conversation), (b"c", body.get("previous_response_id"))):
        if isinstance(value, str) and value:
            return kind + value.encode("utf-8", "replace")
    for name in ("safety_identifier", "user"):
        if isinstance(value := body.get(name), str) and value:
            return b"u" + value.encode("utf-8", "replace")
    return _opening(body)


def _opening(body: Mapping[str, Any]) -> bytes:
    """The instructions and the first user message: the part of a prompt that every turn of a conversation repeats."""
    items = body.get("messages") or body.get("input")
    parts: list[Any] = [body.get("instructions")]
    if isinstance(items, str):
        parts.append(items[:_OPENING])
    elif isinstance(items, list):
        for item in items:
            if not isinstance(item, dict):
                continue
            role = item.get("role")
            if role in ("system", "developer", "user"):
                parts.append(item.get("content"))
            if role == "user":
                break
    if not any(parts):
        return b""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update((part.encode("utf-8", "replace") if isinstance(part, str) else _json(part))[:_OPENING] + b"\0")
    return b"o" + digest.digest()


def _json(value: Any) -> bytes:
    try:
        return dumps(value)
    except ValueError:  # nested beyond what may be written; such a request is refused later
        return b""


def ordered(session: bytes, targets: Sequence[R]) -> list[R]:
    """The targets in the order in which this session tries them."""
    if len(targets) < 2:
        return list(targets)
    return sorted(targets, key=lambda target: (target.priority, score(session, target.rank_name, target.weight)))


def score(session: bytes, name: str, weight: float) -> float:
    """How far a target is from a session: the nearest wins, with a chance in proportion to its weight."""
    drawn = int.from_bytes(blake2b(session, digest_size=8, key=name.encode()[:64]).digest(), "big")
    return -log((drawn + 1) / (_SPAN + 1)) / weight
