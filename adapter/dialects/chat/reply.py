"""Plain Chat replies: an upstream's `chat.completion` into hub events, finished answers into a client's `chat.completion`.

Reading goes through the same `Assembly` as a stream, with the whole message as its one delta, so that a plain reply and a
stream that say the same give the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from adapter.dialects.chat.answer import citations
from adapter.dialects.chat.answer.assembly import Assembly
from adapter.dialects.chat.answer.fields import ANSWER, CHOICE, FURTHER_CHOICES
from adapter.dialects.chat.answer.finishes import CALL_TYPES, Outcome, finish_reason, is_failure, outcome_of
from adapter.dialects.chat.answer.logprobs import to_chat
from adapter.dialects.chat.answer.moderation import to_chat as moderation_to_chat
from adapter.dialects.chat.answer.served import CALL_OUTPUTS, served
from adapter.dialects.chat.plain import plain_items
from adapter.dialects.chat.read_stream import broken_off, extras_of, seconds_of
from adapter.errors import UpstreamInvalid
from adapter.hub.events import Event, Item, ItemClosed
from adapter.hub.extra_content import EXTRA_CONTENT, ExtraContent, extra_of
from adapter.hub.fold import Answer, unfolded
from adapter.hub.losses import Anomaly, AnomalyLog, Loss, unknown_fields, unread
from adapter.hub.reasoning_details import REASONING_DETAILS, EncryptedDetails, parted
from adapter.hub.request import Clock, Exchange, Ids, derived_token, no_clock
from adapter.hub.surrogates import mended
from adapter.hub.usage import as_chat, heard, summed
from adapter.upstream.refusals import from_error_object, from_no_answer

_ANSWER: Final = frozenset(ANSWER)
PARAGRAPH: Final = "\n\n"
"""What stands between two parts of reasoning, which Chat has only one string for."""
_GOOD: Final = ("stop", "tool_calls")
"""How nearly all answers end."""
SERVICE_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
"""The API's own; strict clients refuse the words of other servers."""


def read_answer(
    body: Any, exchange: Exchange, *, ids: Ids = derived_token, clock: Clock = no_clock
) -> tuple[Answer, list[Anomaly]]:
    """See `Dialect.read_answer`."""
    answer, choice, token, anomalies = _read(body, exchange, ids, clock)
    unusual = choice.get("logprobs") or "citations" in body
    items = None if unusual else plain_items(choice["message"], exchange, token, answer.status)
    if items is None:
        steps = _assembled(body, choice, exchange, token, anomalies, incomplete=answer.reason is not None)
        items = {event.index: event.item for event in steps if type(event) is ItemClosed}
        _tell(answer, choice)
    elif len(choice) != 1 + ("index" in choice) + ("logprobs" in choice) + ("finish_reason" in choice):
        _tell(answer, choice)
    answer.items = items
    return answer, anomalies


def read_reply(
    body: Any, exchange: Exchange, *, ids: Ids = derived_token, clock: Clock = no_clock
) -> tuple[list[Event], list[Anomaly]]:
    """See `Dialect.read_reply`."""
    answer, choice, token, anomalies = _read(body, exchange, ids, clock)
    steps = _assembled(body, choice, exchange, token, anomalies, incomplete=answer.reason is not None)
    _tell(answer, choice)
    return unfolded(answer, steps), anomalies


def _tell(answer: Answer, choice: dict[str, Any]) -> None:
    """What of the choice nobody reads."""
    answer.losses = (*answer.losses, *unread("choices[0]", choice, CHOICE))


def check_reply(body: dict[str, Any]) -> None:
    """See `Dialect.check_reply`. No answer of this dialect says of itself that it failed."""
    choices = body.get("choices")
    if body.get("error"):
        raise from_error_object(body)
    if type(choices) is not list or not choices:
        raise from_no_answer(body, "The upstream's answer has no choices.")
    for choice in choices:
        if type(choice) is dict and (ending := choice.get("finish_reason")) not in _GOOD and is_failure(ending):
            raise broken_off(choice)


def _read(body: Any, exchange: Exchange, ids: Ids, clock: Clock) -> tuple[Answer, dict[str, Any], str, list[Anomaly]]:
    """The answer without its items, the choice that has them in its message, the token of their ids, what was mended."""
    if type(body) is not dict:
        raise UpstreamInvalid("The upstream's answer is not a JSON object.")
    get = body.get
    choice = _first_choice(get("choices"))
    if get("error"):
        raise from_error_object(body)
    if choice is None or type(choice.get("message")) is not dict:
        raise from_no_answer(body, "The upstream's answer has no choice with a message.")
    anomalies: list[Anomaly] = []
    found = outcome_of(choice.get("finish_reason"))
    if found is None:
        anomalies.append(Anomaly("finish_inferred"))
        reason = None
    else:
        outcome, official = found
        if not official:
            anomalies.append(Anomaly("finish_unknown"))
            if outcome is Outcome.FAILED:
                raise broken_off(choice)
        reason = outcome.reason

    upstream_id, model, created = get("id"), get("model"), seconds_of(get("created"))
    token = ids(upstream_id if type(upstream_id) is str else "")
    losses: list[Loss] = []
    usage, extra = heard(get("usage"), exchange.request.dialect, losses), extras_of(body)
    answer = Answer(
        f"resp_{token}",
        mended(model) if model and type(model) is str else exchange.request.model,
        clock() if created is None else created,
        "completed" if reason is None else "incomplete",
        reason,
        {},
        usage,
        extra,
    )
    # to look at each key takes twice as long as to count those that were found
    if not (upstream_id and model and created and usage) or len(body) != 5 + ("object" in body) + len(extra):
        losses += unknown_fields("", body, _ANSWER)
    if len(body["choices"]) > 1:
        anomalies.append(Anomaly("choice_ignored"))
        losses.append(FURTHER_CHOICES)
    if losses:
        answer.losses = tuple(losses)
    return answer, choice, token, anomalies


def _assembled(
    body: dict[str, Any],
    choice: dict[str, Any],
    exchange: Exchange,
    token: str,
    anomalies: list[Anomaly],
    *,
    incomplete: bool,
) -> list[Event]:
    """The events of the items, from the whole message as one delta."""
    log = AnomalyLog()
    assembly = Assembly(exchange, token, log)
    events = assembly.feed(_numbered(choice["message"]), choice.get("logprobs"))
    if cited := citations.of_answer(body.get("citations")):
        events += assembly.cite(cited)
    events += assembly.finish(incomplete=incomplete)
    if assembly.unnamed_call:
        raise UpstreamInvalid("The upstream sent a tool call without a name.")
    anomalies += log.found
    return events


def _first_choice(choices: Any) -> dict[str, Any] | None:
    """Choice 0; where no choice says it is that, the first one."""
    if type(choices) is not list or not choices:
        return None
    first = choices[0]
    if type(first) is dict and not first.get("index"):
        return first
    found = [choice for choice in choices if type(choice) is dict]
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
    choices: list[dict[str, Any]] = []
    for answer in answers:
        choices.append(_choice(len(choices), answer, exchange))
    reply: dict[str, Any] = {
        "id": f"chatcmpl-{derived_token(first.id)}",
        "object": "chat.completion",
        "created": first.created_at,
        "model": first.model,
        "choices": choices,
    }
    usage = first.usage if len(answers) == 1 else summed([answer.usage for answer in answers])
    if usage is not None:
        reply["usage"] = as_chat(usage)
    extra = first.extra
    if "moderation" in extra and (moderation := moderation_to_chat(extra["moderation"])) is not None:
        reply["moderation"] = moderation
    if extra:
        reply |= shown_extras(extra)
    return reply


def shown_extras(extra: dict[str, Any]) -> dict[str, Any]:
    """The facts that stand at the top of every Chat object of an answer."""
    shown: dict[str, Any] = {}
    tier, fingerprint = extra.get("service_tier"), extra.get("system_fingerprint")
    if type(tier) is str and tier in SERVICE_TIERS:
        shown["service_tier"] = tier
    if type(fingerprint) is str:
        shown["system_fingerprint"] = fingerprint
    return shown


def _choice(index: int, answer: Answer, exchange: Exchange) -> dict[str, Any]:
    legacy = exchange.request.carry.get("functions", False)
    texts: list[str] = []
    refusals: list[str] = []
    calls: list[Item] = []
    reasoned = annotated = logged = answered = False
    extra: ExtraContent | None = None
    details: list[Any] = []
    for item in answer.items.values():
        kind = item.get("type")
        if EXTRA_CONTENT in item:
            details += parted(item[EXTRA_CONTENT])[0]
            if kind == "message":
                extra = extra_of(item[EXTRA_CONTENT]) or extra
        if kind == "message":
            for part in item.get("content") or ():
                said = part.get("type")
                if said == "output_text":
                    texts.append(part.get("text") or "")
                    if part.get("annotations"):
                        annotated = True
                elif said == "refusal":
                    refusals.append(part.get("refusal") or "")
                if part.get("logprobs"):
                    logged = True
        elif kind in CALL_TYPES:
            calls.append(item)
        elif kind == "reasoning":
            reasoned = True
        elif kind in CALL_OUTPUTS:
            answered = True
    if answered:
        done = served(answer.output, exchange)
        calls = [call for call in calls if call.get("call_id") not in done]
    content = "".join(texts) if texts else None
    if not (texts or refusals or calls):
        content = ""  # nothing was said; null beside no call breaks clients
    refusal = "".join(refusals) if refusals else None
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal}
    reasoning = reasoning_text(answer.output) if reasoned else ""
    if reasoning:
        message["reasoning_content"] = reasoning
    if reasoned and exchange.profile.carries_reasoning:
        encrypted = EncryptedDetails()
        details += [detail for item in answer.output for detail in encrypted.of(item)]
    nested = _annotations(_parts(answer, "output_text")) if annotated else None
    if nested:
        message["annotations"] = nested
    if extra:
        message[EXTRA_CONTENT] = extra
    if details:
        message[REASONING_DETAILS] = details
    if calls and legacy:
        message["function_call"] = {"name": calls[0].get("name") or "", "arguments": _arguments(calls[0])}
    elif calls:
        flat = "flat" in exchange.request.carry
        message["tool_calls"] = [_tool_call(item, flat=flat) for item in calls]
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(_parts(answer, "output_text"), _parts(answer, "refusal")) if logged else None,
        "finish_reason": finish_reason(answer.reason, calls=bool(calls), legacy=legacy),
    }


def _parts(answer: Answer, kind: str) -> list[dict[str, Any]]:
    """The parts of its messages that are of this kind."""
    said = [item.get("content") or () for item in answer.output if item.get("type") == "message"]
    return [part for parts in said for part in parts if part.get("type") == kind]


def reasoning_text(output: Sequence[Item]) -> str:
    """What the reasoning items say, summaries and their own text, one paragraph a part; as the stream says it. An upstream's
    content of which no part can be read rides along as it came."""
    groups = [item.get(key) for item in output if item.get("type") == "reasoning" for key in ("summary", "content")]
    parts = [part for group in groups if isinstance(group, list) for part in group if isinstance(part, dict)]
    return PARAGRAPH.join(text for part in parts if isinstance(text := part.get("text"), str) and text)


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


def _tool_call(item: Item, *, flat: bool) -> dict[str, Any]:
    name = item.get("name") or ""
    if item["type"] == "custom_tool_call" and not flat:
        custom = {"name": name, "input": item.get("input") or ""}
        call = {"id": item.get("call_id"), "type": "custom", "custom": custom}
    else:
        function = {"name": name, "arguments": _arguments(item)}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
    if EXTRA_CONTENT in item and (extra := extra_of(item[EXTRA_CONTENT])) is not None:
        call[EXTRA_CONTENT] = extra
    return call


def _arguments(item: Item) -> str:
    return item.get("arguments") or item.get("input") or ""


def _logprobs(texts: list[dict[str, Any]], refusals: list[dict[str, Any]]) -> dict[str, Any] | None:
    content = [entry for part in texts for entry in part.get("logprobs") or ()]
    refusal = [entry for part in refusals for entry in part.get("logprobs") or ()]
    if not content and not refusal:
        return None
    return {"content": to_chat(content) if content else None, "refusal": to_chat(refusal) if refusal else None}
