"""What answers to GET /models say of an upstream's models. Pure: bytes in, what is listed out.

There are two shapes, which one answer may have both of: OpenAI's `data`, whose entries have an `id`, and Codex's catalog,
`models`, whose entries have a `slug`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any, Final, NamedTuple

from adapter.errors import UpstreamInvalid
from adapter.wire.jsonio import NotJson, dumps, loads

_ENTRY: Final = 16 * 1024
"""Bytes of JSON: an entry that has more is passed on without its further members."""
_OPENAIS: Final = frozenset({"id", "object", "created", "owned_by"})
_SECRET: Final = re.compile(r"(?:key|token|secret)$", re.IGNORECASE)
"""How the names of members end that nobody is told."""
_MOST: Final = 1 << 31
"""Tokens that no model takes."""
_WINDOWS: Final = ("max_model_len", "context_length", "context_window", "max_context_length", "n_ctx")
"""The context window in the words of vLLM and SGLang, OpenRouter, gateways, LM Studio, llama.cpp."""
_NOTHING: Final[dict[str, Any]] = {}


class Listed(NamedTuple):
    """What an upstream says of one of its models."""

    created: int = 0
    owned_by: str | None = None
    native: dict[str, Any] | None = None
    """What it tells Codex."""
    further: dict[str, Any] = _NOTHING
    """What its list says beyond OpenAI's members: `max_model_len`, `supported_parameters`, …"""

    @property
    def window(self) -> int | None:
        """How many tokens the model takes, where the list says so, of the model or of how it is served (`meta`)."""
        meta = self.further.get("meta")
        places = (self.further, meta) if isinstance(meta, dict) else (self.further,)
        numbers = (place.get(name) for place in places for name in _WINDOWS)
        return next((number for number in numbers if type(number) is int and 0 < number < _MOST), None)


UNLISTED: Final = Listed()


class Document(NamedTuple):
    """An answer to GET /models."""

    members: dict[str, Any]
    size: int
    """In bytes."""


def read(body: bytes) -> Document:
    """An answer.

    Raises:
        UpstreamInvalid: it is no JSON.
    """
    try:
        value = loads(body)
    except NotJson:
        raise UpstreamInvalid("The upstream's list of models is not JSON.") from None
    # Together's is a list by itself
    return Document(value if isinstance(value, dict) else {"data": value}, len(body))


def listed(documents: Sequence[Document]) -> dict[str, Listed]:
    """What lists name: OpenAI's `data`, and behind it what Codex's own catalog has beyond it."""
    natives = {
        name: entry
        for document in documents
        for name, entry in _named(document.members.get("models"), "slug")
        if _size(entry) < inf
    }
    found: dict[str, Listed] = {}
    for document in documents:
        for name, entry in _named(document.members.get("data"), "id"):
            found.setdefault(name, _of(entry, natives.get(name)))
    return found | {name: Listed(native=native) for name, native in natives.items() if name not in found}


def _named(entries: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries of a list that have a name."""
    for entry in entries if isinstance(entries, list) else ():
        name = entry.get(key) if isinstance(entry, dict) else None
        if isinstance(name, str) and name:
            yield name, entry


def _size(entry: dict[str, Any]) -> float:
    """Of its JSON; infinite where it can be no part of an answer: JSON is read deeper than it is written."""
    try:
        return len(dumps([[[entry]]]))
    except ValueError:
        return inf


def _of(entry: dict[str, Any], native: dict[str, Any] | None) -> Listed:
    created, owner = entry.get("created"), entry.get("owned_by")
    further = {key: value for key, value in entry.items() if key not in _OPENAIS} if _size(entry) <= _ENTRY else {}
    return Listed(
        created if type(created) is int else 0,
        owner if isinstance(owner, str) else None,
        native,
        _without_secrets(further),
    )


def _without_secrets(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_secrets(each) for key, each in value.items() if not _SECRET.search(key)}
        case list():
            return [_without_secrets(each) for each in value]
    return value
