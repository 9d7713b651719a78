"""Message content of a Chat client -> Responses parts.

Clients that also speak Responses say texts and images in its words, which are read as Chat's own. A part of a kind that Responses
has no word for (a video, somebody's thoughts) is left out, a loss. Audio is refused: the answer would be about something else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adapter.dialects.checks import json_object, missing, string, wrong_type, wrong_value
from adapter.errors import UnsupportedParameter
from adapter.hub.items import is_cut_data_url
from adapter.hub.losses import Action, Loss

Part = dict[str, Any]

_DETAILS = frozenset({"auto", "low", "high", "original"})
_TEXTS: Final = ("text", "input_text", "output_text")


def read_text(content: Any, path: str, losses: list[Loss]) -> str | list[Part]:
    """Content that may only be text (system, developer): a string, or a list of input_text parts."""
    if isinstance(content, str):
        return content
    if (texts := _plain_texts(content)) is not None:
        return texts
    return _read(content, path, _text, losses)


def read_user(content: Any, path: str, losses: list[Loss]) -> str | list[Part]:
    """What a user, or a tool, says: a string, or a list of input_text, input_image and input_file parts."""
    if isinstance(content, str):
        return content
    if (texts := _plain_texts(content)) is not None:
        return texts
    return _read(content, path, _user_part, losses)


def _read(content: Any, path: str, read: Callable[[Any, str], Part | None], losses: list[Loss]) -> str | list[Part]:
    """The parts that can be read; an empty text where that is none."""
    made: list[Part] = []
    for i, part in enumerate(_parts(content, path)):
        if (one := read(part, f"{path}[{i}]")) is not None:
            made.append(one)
        else:
            losses.append(_loss(part["type"], f"{path}[{i}]"))
    return made or ""


def _plain_texts(content: Any) -> list[Part] | None:
    """The parts of a list that holds nothing but text, as most do, in a quarter of the time of a closer look (the same result,
    a law in the tests); None for any other content."""
    if type(content) is not list or not content:
        return None
    read: list[Part] = []
    try:
        for part in content:
            text = part["text"]
            if len(part) != 2 or part["type"] != "text" or type(text) is not str:
                return None
            read.append({"type": "input_text", "text": text})
    except (KeyError, TypeError):
        return None
    return read


def read_assistant(content: Any, refusal: Any, message: int, losses: list[Loss]) -> str | list[Part]:
    """An assistant's text, joined: a string, or output_text and refusal parts where the assistant refused."""
    refusals = [] if refusal is None else [string(refusal, f"messages[{message}].refusal")]
    text = ""
    if isinstance(content, str):
        text = content
    elif content is not None:
        at = f"messages[{message}].content"
        for i, part in enumerate(_parts(content, at)):
            match kind := _kind(part, f"{at}[{i}]"):
                case "refusal":
                    refusals.append(string(part.get("refusal"), f"{at}[{i}].refusal"))
                case _ if kind in _TEXTS:
                    text += string(part.get("text"), f"{at}[{i}].text")
                case _:
                    losses.append(_loss(kind, f"{at}[{i}]"))
    if not refusals:
        return text
    parts: list[Part] = [{"type": "output_text", "text": text, "annotations": []}] if text else []
    return [*parts, {"type": "refusal", "refusal": "".join(refusals)}]


def _parts(content: Any, path: str) -> list[Any]:
    if isinstance(content, list):
        return content
    raise missing(path) if content is None else wrong_type(path, "a string or an array of content parts", content)


def _kind(part: Any, path: str) -> str:
    return string(json_object(part, path).get("type"), f"{path}.type")


def _text(part: Any, path: str) -> Part | None:
    if _kind(part, path) not in _TEXTS:
        return None
    return _marked(part, {"type": "input_text", "text": string(part.get("text"), f"{path}.text")})


def _user_part(part: Any, path: str) -> Part | None:
    match _kind(part, path):
        case "image_url":
            return _marked(part, _image(part.get("image_url"), f"{path}.image_url"))
        case "input_image":
            return _marked(part, _input_image(part, path))
        case "file":
            return _marked(part, _file(json_object(part.get("file"), f"{path}.file"), f"{path}.file"))
        case _:
            return _text(part, path)


def _loss(kind: str, path: str) -> Loss:
    """A part that has no place in this message.

    Raises:
        UnsupportedParameter: it is audio.
    """
    if kind == "input_audio":
        reason = "Audio input is not supported: Responses takes text, images and files."
        raise UnsupportedParameter(reason, param=f"{path}.type")
    return Loss(path, Action.DROPPED, "content_part", "This kind of content has no place in this message.")


def _image(image: Any, path: str) -> Part:
    """`image_url` as the API has it, `{url, detail}`, and as gateways have it: a bare string, or with a `media_type`."""
    if isinstance(image, str):
        return {"type": "input_image", "image_url": _image_url(image, None, path), "detail": "auto"}
    if not isinstance(image, dict):
        raise missing(path) if image is None else wrong_type(path, "an object or a string", image)
    url = _image_url(string(image.get("url"), f"{path}.url"), image.get("media_type"), f"{path}.url")
    return {"type": "input_image", "image_url": url, "detail": _detail(image.get("detail"), f"{path}.detail")}


def _input_image(part: Part, path: str) -> Part:
    """As Responses has it: a URL or the id of a file, with the detail beside it."""
    url, file_id = part.get("image_url"), part.get("file_id")
    made: Part = {"type": "input_image", "detail": "auto"}
    if url is not None or file_id is None:
        made = _image(url, f"{path}.image_url")
    if file_id is not None:
        made["file_id"] = string(file_id, f"{path}.file_id")
    if part.get("detail") is not None:
        made["detail"] = _detail(part["detail"], f"{path}.detail")
    return made


def _detail(detail: Any, path: str) -> str:
    if detail is not None and string(detail, path) not in _DETAILS:
        raise wrong_value(path, "auto, low, high or original")
    return detail or "auto"


def _image_url(url: str, media_type: Any, path: str) -> str:
    if isinstance(media_type, str) and not url.startswith("data:") and "://" not in url[:16]:
        url = f"data:{media_type};base64,{url}"
    if not url or is_cut_data_url(url):
        raise wrong_value(path, "a URL or a complete data URL")
    return url


def _file(file: dict[str, Any], path: str) -> Part:
    part: Part = {"type": "input_file"}
    for key in ("file_id", "filename", "file_data"):
        if file.get(key) is not None:
            part[key] = string(file[key], f"{path}.{key}")
    if ("file_id" in part) == ("file_data" in part):
        raise wrong_value(path, "either file_id or file_data")
    return part


def _marked(source: Part, part: Part) -> Part:
    """`part` with the cache breakpoint that the client put on `source`."""
    if source.get("prompt_cache_breakpoint") is not None:
        part["prompt_cache_breakpoint"] = source["prompt_cache_breakpoint"]
    return part
