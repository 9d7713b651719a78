"""What a conversation changed of its own settings: its `configuration_update` items.

Each says an effort, a text format or both, which hold from there on until another one says otherwise. The request's own are what
the conversation began with: clients go on to send those, so that the upstream's prompt cache hits. A Chat request says one of
each, for the answer that it asks for: the last.
"""

from __future__ import annotations

from typing import Any

from adapter.dialects.checks import json_object
from adapter.dialects.writing import Writing
from adapter.hub.items import SETTINGS, UPDATE


def settings_in_effect(writing: Writing) -> dict[str, Any]:
    """The request's body with the effort and the text format that its answer is to have.

    Raises:
        BadRequest: `reasoning` or `text` of an update is no object.
    """
    request = writing.request
    body, items = request.body, request.items
    for index in request.others:
        if items[index].get("type") == UPDATE:
            body = {**body, **_said(writing, index, body)}
    return body


def _said(writing: Writing, index: int, body: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for key, option in SETTINGS:
        if (update := writing.request.items[index].get(key)) is None:
            continue
        path = writing.at(index, f".{key}")
        writing.lose_unknown(path, json_object(update, path), frozenset({option}))
        if update.get(option) is not None:
            said[key] = {**json_object(body.get(key) or {}, key), option: update[option]}
    return said
