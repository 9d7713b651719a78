"""Plain Chat replies: an upstream's `chat.completion` into hub events, finished answers into a client's `chat.completion`.

Reading goes through the same `Assembly` as a stream, with the whole message as its one delta, so that a plain reply and a
stream that say the same give the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from adapter.dialects.chat import citations
from adapter.dialects.chat.assembly import Assembly
from adapter.dialects.chat.finishes import CALL_TYPES, Outcome, finish_reason, outcome_of
from adapter.dialects.chat.logprobs import to_chat
from adapter.dialects.chat.moderation import to_chat as moderation_to_chat
from adapter.dialects.chat.plain import plain_items
from adapter.dialects.chat.read_stream import extras_of, seconds_of
from adapter.errors import UpstreamInvalid
from adapter.hub.events import Event, Finished, Item, ItemClosed, Started, Usage
from adapter.hub.fold import Answer
from adapter.hub.losses import Anomaly, AnomalyLog
from adapter.hub.request import Clock, Exchange, Ids, derived_token, no_clock
from adapter.hub.surrogates import mended
from adapter.hub.usage import added, as_chat, normal
from adapter.upstream.refusals import from_error_object

PARAGRAPH: Final = "\n\n"
"""What stands between two parts of reasoning, which Chat has only one string for."""
SERVICE_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
"""The API's own; strict clients refuse the words of other servers."""


def read_reply(
    body: Any, exchange: Exchange, *, ids: Ids = derived_token, clock: Clock = no_clock, told: bool = True
) -> tuple[list[Event], list[Anomaly]]:
    """See `Dialect.read_reply`."""
    if not isinstance(body, dict):
        raise UpstreamInvalid("The upstream's answer is not a JSON object.")
    choice = _first_choice(body)
    if body.get("error") or (choice is None and "message" in body):
        raise from_error_object(body)
    message = choice.get("message") if choice is not None else None
    if choice is None or not isinstance(message, dict):
        raise UpstreamInvalid("The upstream's answer has no choice with a message.")
    anomaly = AnomalyLog()
    found = outcome_of(choice.get("finish_reason"))
    if found is None:
        anomaly("finish_inferred")
    outcome, official = found or (Outcome.COMPLETED, True)
    if not official:
        anomaly("finish_unknown")
    if outcome is Outcome.FAILED:
        raise UpstreamInvalid("The upstream broke its answer off.", code="upstream_error")

    reason, logprobs = outcome.reason, choice.get("logprobs")
    status: Literal["completed", "incomplete"] = "completed" if reason is None else "incomplete"
    upstream_id, model, created = body.get("id"), body.get("model"), seconds_of(body.get("created"))
    token = ids(upstream_id if isinstance(upstream_id, str) else "")
    events: list[Event] = [
        Started(
            f"resp_{token}",
            mended(model) if model and isinstance(model, str) else exchange.request.model,
            clock() if created is None else created,
            extras_of(body),
        )
    ]
    items = None if told or logprobs else plain_items(message, exchange, token, status)
    if items is not None:
        for index, item in enumerate(items):
            events.append(ItemClosed(index, item))
    else:
        assembly = Assembly(exchange, token, anomaly)
        events += assembly.feed(_numbered(message), logprobs)
        events += assembly.finish(incomplete=reason is not None)
        if assembly.unnamed_call:
            raise UpstreamInvalid("The upstream sent a tool call without a name.")
    usage = normal(body.get("usage"))
    if usage is not None:
        events.append(Usage(usage))
    events.append(Finished(status, reason))
    return events, anomaly.found


def _first_choice(body: dict[str, Any]) -> dict[str, Any] | None:
    """Choice 0; where no choice says it is that, the first one."""
    choices = body.get("choices")
    if type(choices) is list and choices and type(choices[0]) is dict and not choices[0].get("index"):
        return choices[0]
    found = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    return next((choice for choice in found if not choice.get("index")), found[0] if found else None)


def _numbered(message: dict[str, Any]) -> dict[str, Any]:
    """In a plain message every entry of `tool_calls` is a call of its own, whatever its index says."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    numbered = [call | {"index": n} for n, call in enumerate(calls) if isinstance(call, dict)]
    return message | {"tool_calls": numbered}


# ---------------------------------------------------------------------------------------------------------- writing


def write_reply(answers: Sequence[Answer], exchange: Exchange) -> dict[str, Any]:
    """The client's `chat.completion`: one choice for every answer, their usage summed."""
    first = answers[0]
    legacy = exchange.request.carry.get("functions", False)
    reply: dict[str, Any] = {
        "id": f"chatcmpl-{derived_token(first.id)}",
        "object": "chat.completion",
        "created": first.created_at,
        "model": first.model,
        "choices": [_choice(index, answer, legacy=legacy) for index, answer in enumerate(answers)],
    }
    total: dict[str, Any] | None = None
    for answer in answers:
        usage = answer.usage
        if usage is not None:
            total = usage if total is None else added(total, usage)
    if total is not None:
        reply["usage"] = as_chat(total)
    moderation = moderation_to_chat(first.extra.get("moderation"))
    if moderation is not None:
        reply["moderation"] = moderation
    reply.update(shown_extras(first.extra))
    return reply


def shown_extras(extra: dict[str, Any]) -> dict[str, Any]:
    """The facts that stand at the top of every Chat object of an answer."""
    shown: dict[str, Any] = {}
    tier, fingerprint = extra.get("service_tier"), extra.get("system_fingerprint")
    if isinstance(tier, str) and tier in SERVICE_TIERS:
        shown["service_tier"] = tier
    if isinstance(fingerprint, str):
        shown["system_fingerprint"] = fingerprint
    return shown


def _choice(index: int, answer: Answer, *, legacy: bool) -> dict[str, Any]:
    texts: list[dict[str, Any]] = []
    refusals: list[dict[str, Any]] = []
    calls: list[Item] = []
    thoughts: list[Item] = []
    annotated = logged = False
    for item in answer.output:
        kind = item.get("type")
        if kind == "message":
            for part in item.get("content") or ():
                said = part.get("type")
                if said == "output_text":
                    texts.append(part)
                    annotated = annotated or bool(part.get("annotations"))
                elif said == "refusal":
                    refusals.append(part)
                logged = logged or bool(part.get("logprobs"))
        elif kind in CALL_TYPES:
            calls.append(item)
        elif kind == "reasoning":
            thoughts.append(item)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": _joined(texts, "text"),
        "refusal": _joined(refusals, "refusal"),
    }
    if not (texts or refusals or calls):
        message["content"] = ""  # nothing was said; null beside no call breaks clients
    reasoning = reasoning_text(thoughts) if thoughts else ""
    if reasoning:
        message["reasoning_content"] = reasoning
    nested = _annotations(texts) if annotated else None
    if nested:
        message["annotations"] = nested
    if calls and legacy:
        message["function_call"] = {"name": calls[0].get("name") or "", "arguments": _arguments(calls[0])}
    elif calls:
        message["tool_calls"] = [_tool_call(item) for item in calls]
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(texts, refusals) if logged else None,
        "finish_reason": finish_reason(answer.reason, calls=bool(calls), legacy=legacy),
    }


def _joined(parts: list[dict[str, Any]], key: str) -> str | None:
    return "".join([part.get(key) or "" for part in parts]) if parts else None


def reasoning_text(output: Sequence[Item]) -> str:
    """What the reasoning items say, summaries and their own text, one paragraph a part; as the stream says it."""
    texts = [
        part.get("text") or ""
        for item in output
        if item.get("type") == "reasoning"
        for part in (*(item.get("summary") or ()), *(item.get("content") or ()))
    ]
    return PARAGRAPH.join(text for text in texts if text)


def _annotations(texts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    nested: list[dict[str, Any]] = []
    shift = 0
    for part in texts:
        for annotation in part.get("annotations") or ():
            citation = citations.to_chat(annotation, shift)
            if citation is not None:
                nested.append(citation)
        shift += len(part.get("text") or "")
    return nested


def _tool_call(item: Item) -> dict[str, Any]:
    name = item.get("name") or ""
    if item["type"] == "custom_tool_call":
        return {
            "id": item.get("call_id"),
            "type": "custom",
            "custom": {"name": name, "input": item.get("input") or ""},
        }
    return {"id": item.get("call_id"), "type": "function", "function": {"name": name, "arguments": _arguments(item)}}


def _arguments(item: Item) -> str:
    return item.get("arguments") or item.get("input") or "{}"


def _logprobs(texts: list[dict[str, Any]], refusals: list[dict[str, Any]]) -> dict[str, Any] | None:
    content = [entry for part in texts for entry in part.get("logprobs") or ()]
    refusal = [entry for part in refusals for entry in part.get("logprobs") or ()]
    if not content and not refusal:
        return None
    return {"content": to_chat(content) if content else None, "refusal": to_chat(refusal) if refusal else None}
