"""Reading a call of `/responses/compact`: which dialect it is in, and a Responses-shaped one as a Responses body.

`messages` makes it chat-shaped (a Chat Completions request, whole); `input` or `previous_response_id` makes it
Responses-shaped. The Responses shape has three spellings that never contradict each other (OpenAI's, Codex's with tools
and reasoning, GoModel's with provider, metadata and its own content parts), so one reader takes them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from adapter.errors import BadRequest, InvalidType, InvalidValue, MissingParameter, UnsupportedParameter
from adapter.hub.losses import Loss, unknown_fields


class Shape(Enum):
    """What a compact call is made of."""

    CHAT = "chat"
    RESPONSES = "responses"


class CompactCall(NamedTuple):
    """A Responses-shaped call, checked as far as compaction asks; the dialect's own reader takes `body` further."""

    body: dict[str, Any]
    """A Responses body: no `provider`, no `stream`, GoModel's content parts in the official spelling."""
    provider: str | None = None
    """GoModel's routing hint: the name of a configured upstream."""
    metadata: dict[str, Any] | None = None
    losses: Sequence[Loss] = ()
    """Fields that are of no use to a compaction."""


_HEEDED: Final = frozenset(
    {
        *("model", "input", "previous_response_id", "instructions", "provider", "metadata", "reasoning", "user"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "service_tier", "safety_identifier"),
    }
)
_OF_TURNS: Final = frozenset(
    {
        *("tools", "tool_choice", "parallel_tool_calls", "max_tool_calls", "text", "include", "top_logprobs", "store"),
        *("stream", "stream_options", "background", "conversation", "context_management"),
    }
)
"""What says nothing of a compaction, and is said again with the next turn: Codex sends all of a turn's tools."""


def shape(body: dict[str, Any]) -> Shape:
    """Which dialect the call is in.

    Raises:
        BadRequest: both, or neither.
    """
    chat = body.get("messages") is not None
    responses = next((key for key in ("input", "previous_response_id") if body.get(key) is not None), None)
    if chat and responses is not None:
        raise BadRequest(f"`messages` and `{responses}` cannot be combined.", param=responses, code="invalid_value")
    if not chat and responses is None:
        raise MissingParameter("One of `input`, `previous_response_id` and `messages` is required.", param="input")
    return Shape.CHAT if chat else Shape.RESPONSES


def read_call(body: dict[str, Any]) -> CompactCall:
    """A Responses-shaped call.

    Raises:
        BadRequest: no model, nothing to compact, `stream: true`, a conversation, or a field of the wrong type; with `param`.
    """
    model = body.get("model")
    if model is None or model == "":
        raise MissingParameter("`model` is required.", param="model")
    if not isinstance(model, str):
        raise InvalidType("`model` must be a string.", param="model")
    if body.get("stream"):
        raise InvalidValue("A compaction is not streamed; leave `stream` out.", param="stream")
    if body.get("conversation") is not None:
        raise UnsupportedParameter(
            "A conversation cannot be compacted; send its items as `input`.", param="conversation"
        )
    given = body.get("input")
    if given is not None and not isinstance(given, (str, list)):
        raise InvalidType("`input` must be a string or a list of items.", param="input")
    if not given and body.get("previous_response_id") is None:
        raise InvalidValue("`input` is empty; there is nothing to compact.", param="input")
    provider, metadata = body.get("provider"), body.get("metadata")
    if provider is not None and not isinstance(provider, str):
        raise InvalidType("`provider` must be a string.", param="provider")
    if metadata is not None and not isinstance(metadata, dict):
        raise InvalidType("`metadata` must be an object.", param="metadata")
    kept = {key: value for key, value in body.items() if key not in ("provider", "stream", "input")}
    if given is not None:
        kept["input"] = given if isinstance(given, str) else [_item(item, at) for at, item in enumerate(given)]
    losses = tuple(unknown_fields("", body, _HEEDED | _OF_TURNS))
    return CompactCall(kept, provider, metadata, losses)


def _item(item: Any, index: int) -> Any:
    content = item.get("content") if isinstance(item, dict) else None
    if not isinstance(content, list):
        return item
    parts = [_part(part, f"input[{index}].content[{at}]") for at, part in enumerate(content)]
    return item if all(new is old for new, old in zip(parts, content, strict=True)) else {**item, "content": parts}


def _part(part: Any, path: str) -> Any:
    """A content part in the official spelling; the very part where it is in it already."""
    if not isinstance(part, dict):
        return part
    if part.get("type") == "input_audio" or isinstance(part.get("input_audio"), dict):
        raise UnsupportedParameter("Audio cannot be carried into a compaction.", param=path)
    if part.get("type") == "text":
        return {**part, "type": "input_text"}
    image = part.get("image_url")
    if not isinstance(image, dict):
        return part
    url, media_type = image.get("url"), image.get("media_type")
    if not isinstance(url, str) or not url:
        raise InvalidType("`image_url.url` must be a string.", param=f"{path}.image_url.url")
    if ":" not in url and isinstance(media_type, str):
        url = f"data:{media_type};base64,{url}"
    return {**part, "type": "input_image", "image_url": url, "detail": image.get("detail") or "auto"}
