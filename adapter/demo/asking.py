"""What both speakers need to understand a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_DATA: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)[;,]")


class Bad(Exception):
    """The request cannot be answered; becomes a 400 in the APIs' error shape."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


def check_types(body: dict[str, Any], types: Mapping[str, tuple[type, ...]]) -> None:
    """Take only parameters of these types; null counts as absent.

    Raises:
        Bad: one is of another type.
    """
    for key, allowed in types.items():
        value = body.get(key)
        if value is not None and (not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed)):
            raise Bad(f"Invalid type for '{key}'.", key, "invalid_type")


def image_type(url: str) -> str:
    """The media type of a data URL; `url` for any other."""
    found = _DATA.match(url)
    return found.group(1) if found else "url"


def structured(format_: Any, *, nested: bool) -> Any:
    """The schema that the answer must fill: None for text, `{}` for any object. Chat nests it under `json_schema`."""
    match format_:
        case {"type": "json_schema"}:
            holder = format_.get("json_schema") if nested else format_
            schema = holder.get("schema") if isinstance(holder, dict) else None
            return schema if isinstance(schema, dict) else {}
        case {"type": "json_object"}:
            return {}
        case _:
            return None


def text_of(content: Any) -> str:
    """All text of a content, in either dialect."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
