"""URL citations: nested under their type in Chat, flat in Responses. Chat has no other kind of annotation."""

from __future__ import annotations

from typing import Any

from adapter.hub.surrogates import mended
from adapter.hub.usage import count


def to_responses(annotation: Any) -> dict[str, Any] | None:
    """Chat's nested citation, flat; also one that a server sends flat. Missing facts become 0 and "": clients need the
    keys. None for what is no URL citation."""
    if not isinstance(annotation, dict) or annotation.get("type") != "url_citation":
        return None
    nested = annotation.get("url_citation")
    facts = nested if isinstance(nested, dict) else annotation
    url, title = facts.get("url"), facts.get("title")
    if not isinstance(url, str):
        return None
    return {
        "type": "url_citation",
        "start_index": count(facts.get("start_index")) or 0,
        "end_index": count(facts.get("end_index")) or 0,
        "url": mended(url),
        "title": mended(title) if isinstance(title, str) else "",
    }


def of_answer(given: Any) -> list[dict[str, Any]]:
    """The `citations` at the top of an answer (Perplexity's: addresses, of no place in the text), flat; each once."""
    if not given or not isinstance(given, list):
        return []
    urls = dict.fromkeys(mended(url) for url in given if isinstance(url, str) and url)
    return [{"type": "url_citation", "start_index": 0, "end_index": 0, "url": url, "title": ""} for url in urls]


def to_chat(annotation: dict[str, Any], shift: int) -> dict[str, Any] | None:
    """The flat citation as Chat nests it, its indices moved by the text of the parts before; None for other kinds."""
    if annotation.get("type") != "url_citation":
        return None
    return {
        "type": "url_citation",
        "url_citation": {
            "start_index": (count(annotation.get("start_index")) or 0) + shift,
            "end_index": (count(annotation.get("end_index")) or 0) + shift,
            "url": annotation.get("url") or "",
            "title": annotation.get("title") or "",
        },
    }
