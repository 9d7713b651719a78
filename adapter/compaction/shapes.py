"""The answers of `/responses/compact`: writing ours in three shapes, and reading an upstream's in any of four.

`compaction` is OpenAI's object with a sealed item; `response` (gogogotoken) and `gomodel` show the summary as text. The
fourth, chat-shaped, is an ordinary Chat answer to a shortened conversation; only reading knows it here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from adapter.compaction.anatomy import CALLS, COMPACTIONS, CUT_OFF, OUTPUTS, type_of
from adapter.dialects.chat.answer.finishes import outcome_of
from adapter.errors import NoSummary, UpstreamInvalid
from adapter.hub import usage as usages
from adapter.hub.events import Item
from adapter.hub.items import ID_PREFIXES, OTHER_ID, shown


@dataclass(slots=True, kw_only=True)
class Facts:
    """What every shape says about the call."""

    token: str
    """Every id of the answer is a prefix and this."""
    model: str
    created_at: int
    usage: dict[str, Any]
    """In the normal form of `hub.usage`."""
    provider: str | None = None
    """The configured name of the upstream that served it; GoModel shows it."""
    metadata: dict[str, Any] | None = None
    echo: dict[str, Any] = field(default_factory=dict)
    """What a Response repeats of its request."""


# ------------------------------------------------------------------------------------------------------------ writing


def compaction_item(sealed: str, token: str) -> Item:
    """The item that stands for a history."""
    return {"type": "compaction", "id": f"cmp_{token}", "encrypted_content": sealed}


def compacted_output(retained: list[Item], blob: Item, token: str) -> list[Item]:
    """The retained items, then exactly one compaction item."""
    return [*(retained_item(item, token, index) for index, item in enumerate(retained)), blob]


def compaction_reply(facts: Facts, output: list[Item]) -> dict[str, Any]:
    """OpenAI's shape around a `compacted_output`."""
    return {
        "id": f"resp_{facts.token}",
        "object": "response.compaction",
        "created_at": facts.created_at,
        "output": output,
        "usage": facts.usage,
    }


def response_reply(facts: Facts, text: str) -> dict[str, Any]:
    """gogogotoken's shape: a response, whole, whose one message is the summary."""
    return {
        "id": f"resp_{facts.token}",
        "object": "response",
        "created_at": facts.created_at,
        "model": facts.model,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "output": [_message(facts, text)],
        "usage": facts.usage,
        **facts.echo,
    }


def gomodel_reply(facts: Facts, text: str) -> dict[str, Any]:
    """GoModel's shape: as above, with provider, metadata and Chat's spelling of the token details beside the other."""
    details_in, details_out = facts.usage["input_tokens_details"], facts.usage["output_tokens_details"]
    cached, reasoned = details_in["cached_tokens"], details_out["reasoning_tokens"]
    return {
        **response_reply(facts, text),
        "provider": facts.provider,
        "metadata": facts.metadata or {},
        "usage": {
            **facts.usage,
            "prompt_tokens_details": {
                "cached_tokens": cached,
                "text_tokens": facts.usage["input_tokens"],
                "audio_tokens": 0,
                "image_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": reasoned,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
            "raw_usage": facts.usage,
        },
    }


def _message(facts: Facts, text: str) -> Item:
    return {
        "type": "message",
        "id": f"msg_{facts.token}_0",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }


def retained_item(item: Item, token: str, index: int) -> Item:
    """A retained item as an answer shows it: with an id and, where its kind has one, a status."""
    type_ = type_of(item)
    out = dict(shown(item))
    if not isinstance(out.get("id"), str) or not out["id"]:
        out["id"] = f"{ID_PREFIXES.get(type_, OTHER_ID)}{token}_{index}"
    if type_ in ("message", "reasoning") or type_ in CALLS or type_ in OUTPUTS:
        out["status"] = out.get("status") or "completed"
    return out


# ------------------------------------------------------------------------------------------------------------ reading


class UpstreamText(NamedTuple):
    """An upstream's compaction that anyone can read."""

    text: str
    usage: dict[str, Any] | None


class UpstreamBlob(NamedTuple):
    """An upstream's compaction that only it can read: its output, which ends in one compaction item."""

    output: list[Item]
    usage: dict[str, Any] | None


class UpstreamShell(NamedTuple):
    """A compaction without its content: a gateway dropped the key that it does not know (GoModel in front of OpenAI)."""

    usage: dict[str, Any] | None


def read_compact_answer(body: Any) -> UpstreamText | UpstreamBlob | UpstreamShell:
    """What an upstream's `/responses/compact` answered, in whichever shape.

    Raises:
        UpstreamInvalid: no object.
        NoSummary: it holds neither a blob nor text: a compaction that lost the history. Nor is text one that a filter has
            ended.
    """
    if not isinstance(body, dict):
        raise UpstreamInvalid("The upstream's compaction is not a JSON object.")
    usage = usage_of(body)
    output = body.get("output")
    if isinstance(output, list):
        items = [item for item in output if isinstance(item, dict)]
        marks = [item for item in items if type_of(item) in COMPACTIONS]
        blobs = [item for item in marks if _has_blob(item)]
        if not blobs and any("encrypted_content" not in item for item in marks):
            return UpstreamShell(usage)  # what else there is was retained, and is no summary
        if blobs:
            return UpstreamBlob(
                [item for item in items if type_of(item) not in COMPACTIONS or item is blobs[-1]], usage
            )
        text = _spoken(items)
    else:
        text = _chosen(body.get("choices"))
    ended_by = _ended_by(body) if text.strip() else None
    if not text.strip() or ended_by == "content_filter":
        raise NoSummary("The upstream's compaction is empty.")
    return UpstreamText(text if ended_by is None else f"{text}\n{CUT_OFF}", usage)


def usage_of(body: Any) -> dict[str, Any] | None:
    """What an upstream's answer says that it cost, in the normal form."""
    return usages.normal(body.get("usage")) if isinstance(body, dict) else None


def _ended_by(body: dict[str, Any]) -> str | None:
    """What kept a compaction with text in it from its own end; None where nothing did."""
    if isinstance(body.get("output"), list):
        if body.get("status") != "incomplete":
            return None
        details = body.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return reason if isinstance(reason, str) else "length"
    outcome = outcome_of(body["choices"][0].get("finish_reason"))
    return None if outcome is None else outcome[0].reason


def _has_blob(item: Item) -> bool:
    return isinstance(item.get("encrypted_content"), str) and item["encrypted_content"] != ""


def _spoken(items: list[Item]) -> str:
    """The text of the assistant's messages: a user message in such an answer is retained, not a summary."""
    texts: list[str] = []
    for item in items:
        if type_of(item) in ("message", "") and item.get("role", "assistant") == "assistant":
            content = item.get("content")
            parts = content if isinstance(content, list) else [{"text": content}]
            texts.extend(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
    return "\n\n".join(text for text in texts if text)


def _chosen(choices: Any) -> str:
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
