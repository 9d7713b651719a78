"""Normal forms of what an upstream answers: items, parts, annotations and logprobs with every key a client may look for.

Whatever comes in, what goes out has the types of the API; keys that we do not know ride along.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.hub.events import DeltaKind, Item
from adapter.hub.items import ID_PREFIXES
from adapter.hub.surrogates import mended
from adapter.wire.jsonio import dumps

CALLS: Final = {
    "function_call": (DeltaKind.ARGUMENTS, "arguments"),
    "custom_tool_call": (DeltaKind.INPUT, "input"),
}
"""Items with one string that streams -> (kind of its deltas, its field)."""
OPENS_LATE: Final = frozenset({"tool_search_call"})
"""Items that say in the end what no event said before."""
_NEVER_NULL: Final = ("content", "namespace")
"""What an item has or has not; other fields (`encrypted_content`, `result`) may be null."""
FIXED: Final = ("id", "type", "role", "call_id", "name", "namespace")
"""What an item says when it opens and may not say otherwise when it closes."""
_STATUS_REQUIRED: Final = frozenset({"message", *CALLS, "function_call_output", "custom_tool_call_output"})
_NEVER_INCOMPLETE: Final = frozenset({"web_search_call", "image_generation_call"})
"""Hosted items whose status has no `incomplete`: what did not come to its end has failed."""
_OPEN_STATUSES: Final = ("in_progress", "searching", "interpreting", "generating", "queued")

KINDS: Final = {
    "output_text": DeltaKind.TEXT,
    "refusal": DeltaKind.REFUSAL,
    "reasoning_text": DeltaKind.REASONING,
    "summary_text": DeltaKind.SUMMARY,
}
"""Part types that stream -> the kind of their deltas."""
PLAIN_TEXT: Final = {"message": "output_text", "content": "reasoning_text", "summary": "summary_text"}
"""What a bare string, or a part of type `text`, is: in a message, in a reasoning item's content, in its summary."""


def whole_text(value: Any) -> str:
    """A text that came in one piece, as valid Unicode."""
    return mended(value) if isinstance(value, str) else ""


def without_nulls(item: Item) -> Item:
    """The item without the nulls that the API does not know: some servers (vLLM) write every field of their models."""
    get = item.get
    if (get("content", "") is not None and get("namespace", "") is not None) or item["type"] not in ID_PREFIXES:
        return item
    return {key: value for key, value in item.items() if value is not None or key not in _NEVER_NULL}


def skeleton(item: Item, id: str) -> Item:
    """The item as it opens: final facts, nothing said yet."""
    opened = {**item, "id": id}
    match item.get("type"):
        case "message":
            opened |= {"role": "assistant", "content": []}
        case "reasoning":
            opened["summary"] = []
            if "content" in item:
                opened["content"] = []
        case "function_call" | "custom_tool_call" as kind:
            opened[CALLS[kind][1]] = ""
    if "status" in item or item.get("type") in _STATUS_REQUIRED:
        opened["status"] = "in_progress"
    if item.get("type") == "web_search_call" and "action" not in item:
        opened["action"] = {"type": "search"}  # required, and not known yet
    if "result" in item:  # an image: megabytes that the closed item brings
        opened["result"] = None
    return opened


def final_status(item: Item, kind: str, forced: str | None) -> str | None:
    """The status an item closes with; None where it has none. `forced` is the one for what nobody said was done.

    Hosted items keep what their upstream says: OpenAI's images are done while `generating`.
    """
    given = item.get("status")
    if kind in _STATUS_REQUIRED:
        status = forced or given
        return status if status in ("completed", "incomplete") else "completed"
    if kind == "reasoning" and forced == "incomplete":
        return forced
    if "status" not in item:
        return None
    if forced and (given in ("incomplete", None) or given in _OPEN_STATUSES):
        return "failed" if forced == "incomplete" and kind in _NEVER_INCOMPLETE else forced
    return "completed" if given is None or (kind == "reasoning" and given in _OPEN_STATUSES) else given


def part_lists(item: Item) -> list[tuple[str, list[dict[str, Any]]]]:
    """The groups of parts of an item, each part in its normal form, in the order in which they stream."""
    match item.get("type"):
        case "message":
            return [("content", normal_parts(item.get("content"), PLAIN_TEXT["message"]))]
        case "reasoning":
            return [(group, normal_parts(item.get(group), PLAIN_TEXT[group])) for group in ("summary", "content")]
        case _:
            return []


def normal_parts(given: Any, plain: str) -> list[dict[str, Any]]:
    """What an item gives as its parts, each in its normal form, as `normal_part`."""
    if isinstance(given, str):
        given = [given] if given else []
    if not isinstance(given, list):
        return []
    normal: list[dict[str, Any]] = []
    for part in given:
        one = normal_part(part, plain)
        if one is not None:
            normal.append(one)
    return normal


def normal_part(part: Any, plain: str) -> dict[str, Any] | None:
    """A part with the keys of its type. Bare strings and texts under other names are of type `plain`; a part without any
    text has no place in an answer's message and is None."""
    if type(part) is dict and part.get("type") == plain and type(text := part.get("text")) is str:
        # a text and nothing beside it, as nearly all are: a quarter of the time
        if plain != "output_text":
            if len(part) == 2:
                return {"type": plain, "text": mended(text)}
        elif len(part) == 4 and not (part.get("annotations", True) or part.get("logprobs", True)):
            return {"type": plain, "text": mended(text), "annotations": [], "logprobs": []}
    return any_part(part, plain)


def any_part(part: Any, plain: str) -> dict[str, Any] | None:
    """As `normal_part`, of any part."""
    given: dict[str, Any] = part if isinstance(part, dict) else {"type": plain, "text": part}
    kind = plain
    if given.get("type") == "refusal" and plain == "output_text":
        kind = "refusal"
    elif given.get("type") != plain and not isinstance(given.get("text"), str):
        return None
    field = text_field(kind)
    normal = {key: value for key, value in given.items() if key not in _SAID}
    normal |= {"type": kind, field: whole_text(given.get(field))}
    if kind == "output_text":
        normal["annotations"] = normal_annotations(given.get("annotations"))
        normal["logprobs"] = full_logprobs(given.get("logprobs"))
    return normal


_SAID: Final = frozenset({"text", "refusal", "annotations", "logprobs"})
"""What a part says; no type has all of it."""


def text_field(part_type: str) -> str:
    """Where a part of this type keeps its text."""
    return "refusal" if part_type == "refusal" else "text"


def empty_part(part: dict[str, Any]) -> dict[str, Any]:
    """A part (in normal form, or its bare type) as it opens."""
    opened = {**part, text_field(part["type"]): ""}
    if part["type"] == "output_text":
        opened |= {"annotations": [], "logprobs": []}
    return opened


def normal_annotations(given: Any) -> list[dict[str, Any]]:
    """Annotations with the keys that clients index by; xAI leaves some out."""
    return [normal_annotation(one) for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def normal_annotation(annotation: dict[str, Any]) -> dict[str, Any]:
    """One annotation; a url_citation always has its title and both indices."""
    if annotation.get("type") != "url_citation":
        return annotation
    normal = dict(annotation)
    for key, default in (("url", ""), ("title", ""), ("start_index", 0), ("end_index", 0)):
        if type(normal.get(key)) is not type(default):
            normal[key] = default
    return normal


def full_logprobs(given: Any) -> list[dict[str, Any]]:
    """Logprobs in the form of parts, `{token, logprob, bytes, top_logprobs}`; those of events come without bytes."""
    if not given or not isinstance(given, list):
        return []
    full = []
    for one in given:
        if _is_token(one):
            tops = one.get("top_logprobs")
            tops = [_with_bytes(top) for top in tops if _is_token(top)] if isinstance(tops, list) else []
            full.append({**_with_bytes(one), "top_logprobs": tops})
    return full


def _is_token(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("token"), str) and type(one.get("logprob")) in (int, float)


def _with_bytes(one: dict[str, Any]) -> dict[str, Any]:
    given = one.get("bytes")
    if isinstance(given, list) and all(type(byte) is int for byte in given):
        return one
    return {**one, "bytes": list(one["token"].encode("utf-8", "replace"))}


def called_with(item: Item, field: str) -> str | None:
    """The arguments or input of a call as a string; None where it gives none. An object is put into JSON."""
    value = item.get(field)
    if value is None or isinstance(value, str):
        return value if value is None else whole_text(value)
    try:
        return dumps(value).decode()
    except ValueError:
        return None
