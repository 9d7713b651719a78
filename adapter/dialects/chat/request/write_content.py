"""Responses parts -> Chat message content.

Text-only servers get strings; a single text is always a string. What a server cannot see leaves a marker in its place, so
that the conversation stays readable, and a loss.

`index` and `field` tell where a content stands: a field of an input item. Paths are made only where something is wrong.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.checks import json_object, string, wrong_type
from adapter.dialects.writing import Writing
from adapter.errors import AdapterError, UnsupportedParameter
from adapter.hub.losses import Action

Part = dict[str, Any]

_TEXT_TYPES: Final = ("input_text", "output_text", "text", "reasoning_text", "summary_text")
"""A tuple and no set, because a type that is no string at all may be unhashable."""


def single_text(content: Any) -> str | None:
    """The text of a content that is one text and nothing else, as most are; None for any other."""
    if type(content) is str:
        return content
    if (
        type(content) is list
        and len(content) == 1
        and type(part := content[0]) is dict
        and part.get("type") in _TEXT_TYPES
        and type(text := part.get("text")) is str
        and "prompt_cache_breakpoint" not in part
    ):
        return text
    return None


def write_content(content: Any, writing: Writing, index: int, field: str) -> str | list[Part]:
    """What a user says: a string where it is one text, else Chat parts."""
    if (text := single_text(content)) is not None:
        return text
    parts = content if isinstance(content, list) else _no_list(content, writing, index, field)
    written = [made for j, part in enumerate(parts) if (made := write_part(part, j, writing, index, field)) is not None]
    if len(written) == 1 and len(written[0]) == 2 and written[0]["type"] == "text":
        only: str = written[0]["text"]
        return only
    if not writing.profile.images and all(part["type"] == "text" for part in written):
        return "\n\n".join(part["text"] for part in written)
    return written or ""


def write_text(content: Any, writing: Writing, index: int, field: str) -> str:
    """The paragraphs of a content that may only be text; anything else in it is a loss."""
    if (text := single_text(content)) is not None:
        return text
    texts: list[str] = []
    for j, part in enumerate(content if isinstance(content, list) else _no_list(content, writing, index, field)):
        if _is_text(part):
            texts.append(part["text"])
        else:
            _lose_part(part, j, writing, index, field)
    return "\n\n".join(texts)


def write_assistant(content: Any, writing: Writing, index: int, field: str) -> tuple[str, str]:
    """What an assistant said: (text, refusal), each joined."""
    text = refusal = ""
    for j, part in enumerate(content if isinstance(content, list) else _no_list(content, writing, index, field)):
        if _is_text(part):
            text += part["text"]
        elif isinstance(part, dict) and part.get("type") == "refusal":
            refusal += string(part.get("refusal"), _path(writing, index, field, j, ".refusal"))
        else:
            _lose_part(part, j, writing, index, field)
    return text, refusal


def write_part(part: Any, j: int, writing: Writing, index: int, field: str) -> Part | None:
    """One part; None where nothing is left of it."""
    if _is_text(part):
        return _marked({"type": "text", "text": part["text"]}, part, writing)
    if isinstance(part, dict):
        if part.get("type") == "input_image":
            return _image(part, _path(writing, index, field, j), writing)
        if part.get("type") == "input_file":
            return _file(part, _path(writing, index, field, j), writing)
    _lose_part(part, j, writing, index, field)
    return None


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in _TEXT_TYPES and isinstance(part.get("text"), str)


def _no_list(content: Any, writing: Writing, index: int, field: str) -> list[Any]:
    """Null is no content; anything else that is neither text nor a list is wrong."""
    if content is None:
        return []
    raise wrong_type(writing.at(index, f".{field}"), "a string or an array of content parts", content)


def _path(writing: Writing, index: int, field: str, j: int, inside: str = "") -> str:
    return writing.at(index, f".{field}[{j}]{inside}")


def _lose_part(part: Any, j: int, writing: Writing, index: int, field: str) -> None:
    """A part that this message cannot hold.

    Raises:
        UnsupportedParameter: audio, which would change what is talked about.
        InvalidType: a text part without a text.
    """
    path = _path(writing, index, field, j)
    kind = json_object(part, path).get("type")
    if kind in _TEXT_TYPES:
        string(part.get("text"), f"{path}.text")
    if kind == "input_audio":
        raise UnsupportedParameter("Audio input is not supported.", param=path)
    writing.lose(path, "content_part", "This kind of content has no place in this Chat message.")


def _image(part: Part, path: str, writing: Writing) -> Part:
    if not writing.profile.images:
        writing.lose(path, "input_image", "The upstream takes no images; a note stands in its place.")
        return {"type": "text", "text": "[image omitted: this model takes no images]"}
    if not part.get("image_url") and part.get("file_id") is not None:
        raise _no_such_source("An image by file_id cannot be sent to this upstream", f"{path}.file_id")
    image = {"url": string(part.get("image_url"), f"{path}.image_url")}
    detail = part.get("detail")
    if detail is not None and detail != "auto":
        if not writing.profile.image_detail:
            writing.lose(f"{path}.detail", "image_detail", "The upstream does not take an image detail.")
        elif string(detail, f"{path}.detail") == "original":
            image["detail"] = "high"
            reason = "Chat Completions knows no detail above high."
            writing.lose(f"{path}.detail", "image_detail", reason, Action.APPROXIMATED)
        else:
            image["detail"] = detail
    return _marked({"type": "image_url", "image_url": image}, part, writing)


def _file(part: Part, path: str, writing: Writing) -> Part:
    if not writing.profile.files:
        writing.lose(path, "input_file", "The upstream takes no files; a note stands in its place.")
        return {"type": "text", "text": "[file omitted: this model takes no files]"}
    if part.get("detail") not in (None, "auto"):
        writing.lose(f"{path}.detail", "file_detail", "Chat Completions has no detail of files.")
    file: dict[str, str] = {}
    for key in ("file_id", "filename", "file_data"):
        if part.get(key) is not None:
            file[key] = string(part[key], f"{path}.{key}")
    if "file_id" not in file and "file_data" not in file:
        if part.get("file_url") is not None:
            raise _no_such_source("A file by URL cannot be sent to this upstream", f"{path}.file_url")
        string(None, f"{path}.file_data")
    return _marked({"type": "file", "file": file}, part, writing)


def _no_such_source(what: str, path: str) -> AdapterError:
    return UnsupportedParameter(f"{what}; send its content as a base64 data URL.", param=path)


def _marked(made: Part, source: Part, writing: Writing) -> Part:
    """`made` with the cache breakpoint of `source`, where the server knows such; a hint, so no loss elsewhere."""
    mark = source.get("prompt_cache_breakpoint")
    if mark is not None and "prompt_cache_options" in writing.profile.accepts:
        made["prompt_cache_breakpoint"] = mark
    return made
