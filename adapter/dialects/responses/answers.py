"""The facts of a Response object beside its items: how it began and how it ended. Shared by plain replies and streams."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeGuard, get_args

from adapter.dialects.responses.assembly import Assembly, Slot
from adapter.dialects.responses.echo import ANSWER_KEYS
from adapter.dialects.responses.output_items import without_nulls
from adapter.errors import AdapterError, UpstreamError
from adapter.hub.events import Event, Failed, Finished, Item, Reason, Started, Usage
from adapter.hub.losses import Anomaly, Loss
from adapter.hub.request import Clock, DialectName, Exchange, Ids
from adapter.hub.usage import count, heard
from adapter.upstream.envelopes import OF_ERRORS, is_error
from adapter.upstream.refusals import from_error_object

_COMPLETED_AT: Final = "completed_at"
_REWORDED: Final = ("tools", "tool_choice", "instructions")
_SAID_IN_CHAT: Final = ("service_tier", "system_fingerprint", "moderation")
ENDS: Final = {
    "response.completed": "completed",
    "response.done": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
"""Terminal events -> the status that they mean where their object gives none."""
BEGINNINGS: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
"""What says that there will be an answer, and nothing of it. OpenAI says so before a model that is overloaded refuses."""
OF_ANSWERS: Final = "response."
"""What the types of events begin with that tell of an answer."""
FAILURES: Final = ("failed", "cancelled")
"""The statuses of an answer that is none."""
STATUS_MENDED: Final = Anomaly("status_mended", "completed, but its last item is incomplete")


def started(response: dict[str, Any], exchange: Exchange, ids: Ids, clock: Clock) -> Started:
    """The beginning of an answer, as far as `response` (perhaps empty) tells of it."""
    return Started(*head(response, exchange, ids, clock), said_beside(response, exchange))


def head(response: dict[str, Any], exchange: Exchange, ids: Ids, clock: Clock) -> tuple[str, str, int]:
    """The id of an answer, its model, and when it was made."""
    given = response.get("id")
    response_id = given if type(given) is str else ""
    if not response_id.startswith("resp_") or response_id == "resp_":
        response_id = f"resp_{ids(response_id)}"
    model = response.get("model")
    created_at = _seconds(response.get("created_at"))
    return (
        response_id,
        model if model and type(model) is str else exchange.request.model,
        clock() if created_at is None else created_at,
    )


def _seconds(value: Any) -> int | None:
    """transformers counts in fractions of a second."""
    return count(int(value) if type(value) is float and 0 <= value < 1e12 else value)


def said_beside(response: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
    """What a Response says beside its answer: the echo of the request, tiers, and whatever is new. A Chat client gets
    what its API can say: to leave out all else is a quarter of what it takes to carry it along."""
    if exchange.request.dialect == "chat":
        said: dict[str, Any] = {}
        for key in _SAID_IN_CHAT:
            if key in response:
                said[key] = response[key]
        return said
    beside = response.copy()
    for key in ANSWER_KEYS:  # half of what it takes to look at each of thirty
        beside.pop(key, None)
    if exchange.profile.rewords:
        for key in _REWORDED:
            beside.pop(key, None)
    completed_at = _seconds(response.get(_COMPLETED_AT))
    if completed_at is not None:
        beside[_COMPLETED_AT] = completed_at
    return beside


class Ending(NamedTuple):
    """How a Response says that it ended."""

    status: Literal["completed", "incomplete", "failed"]
    reason: Reason | None = None
    error: AdapterError | None = None


_COMPLETED: Final = Ending("completed")
_INCOMPLETE: Final = {reason: Ending("incomplete", reason) for reason in get_args(Reason)}
_CUT: Final = _INCOMPLETE["max_output_tokens"]


def ending(response: dict[str, Any], default: str, exchange: Exchange) -> Ending:
    """From the object's own status, else from `default` (what the event's name says)."""
    status = response.get("status")
    if status == "completed":
        return _CUT if "incomplete_details" not in response and _is_full(response, exchange) else _COMPLETED
    if status not in ("completed", "incomplete", "failed", "cancelled"):
        status = "failed" if response.get("error") else default
    if status in FAILURES:
        return Ending("failed", error=failure(response, status))
    match status:
        case "incomplete":
            details = response.get("incomplete_details")
            reason = details.get("reason") if isinstance(details, dict) else None
            return _INCOMPLETE.get(str(reason), _CUT)
        case _:
            return _COMPLETED


def failure(response: dict[str, Any], status: str) -> AdapterError:
    """What a Response failed by, whose status is one of `FAILURES`."""
    if response.get("error"):
        return from_error_object(response)
    return UpstreamError(
        f"The upstream's response {'was cancelled' if status == 'cancelled' else 'failed without a reason'}."
    )


def _is_full(response: dict[str, Any], exchange: Exchange) -> bool:
    """It has all the tokens that it was allowed. Of a server that has no word for a cut, as llama.cpp and transformers have none,
    that is all that tells of one."""
    limit, usage = exchange.request.body.get("max_output_tokens"), response.get("usage")
    if type(limit) is not int or type(usage) is not dict:
        return False
    told = usage.get("output_tokens")
    return type(told) is int and told >= max(limit, exchange.profile.min_output_tokens)


def ended(
    assembly: Assembly, response: dict[str, Any], end: Ending, changed: dict[str, Any], client: DialectName
) -> list[Event]:
    """The events from the last item on: what was never streamed, what is still open, usage, and the terminal one.

    `changed` is what is said beside the answer otherwise than `Started` did.
    """
    losses: list[Loss] = []
    usage = heard(response.get("usage"), client, losses)
    counted: list[Event] = [] if usage is None else [Usage(usage)]
    output = output_of(response)
    if end.error is not None:
        assembly.close_done()
        return [*_taken(assembly), *counted, Failed(end.error, assembly.open_items())]
    cut = _settle(assembly, output, end.status)
    if cut and end.status == "completed":
        assembly.note(STATUS_MENDED.kind, STATUS_MENDED.detail)
        end = _CUT
    finished = Finished("incomplete" if end.reason else "completed", end.reason, changed, tuple(losses))
    return [*_taken(assembly), *counted, finished]


def _taken(assembly: Assembly) -> list[Event]:
    out, assembly.out = assembly.out, []
    return out


def output_of(response: dict[str, Any]) -> list[Item]:
    """The items of a Response; one that has only `output_text` gets its message."""
    output = response.get("output")
    items = [without_nulls(item) for item in output if is_item(item)] if isinstance(output, list) else []
    text = response.get("output_text")
    if not items and isinstance(text, str) and text:
        items = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}]
    return items


def is_item(item: Any) -> TypeGuard[Item]:
    """An object with a type that an answer can hold: compaction replies repeat the user's messages."""
    if type(item) is not dict or type(kind := item.get("type")) is not str or not kind:
        return False
    return kind != "message" or item.get("role") in (None, "assistant")


def _settle(assembly: Assembly, output: list[Item], status: str) -> bool:
    """Close what is open and add what was never streamed; whether the answer ends in an incomplete item."""
    forms, missing = aligned(assembly.slots, output)
    last_open: list[tuple[Slot, Item]] = []
    for slot in assembly.open_slots():
        form = slot.waiting or forms.get(slot.index)
        if ((form or {}).get("status") or status) == "incomplete":
            last_open.append((slot, form or slot.item))
        else:
            assembly.finish(slot, form or slot.item, "completed" if form is None else None)
    if missing and assembly.slots:
        assembly.note("output_unstreamed", "the final output holds items that were never streamed")
    for item in missing:
        whole = item is not missing[-1] or (item.get("status") or status) != "incomplete" or bool(last_open)
        assembly.finish(Slot(item), item, "completed" if whole else "incomplete")
    for slot, form in last_open:
        if slot.closed is None:  # what was never streamed may have shown that it was not the last
            assembly.finish(slot, form, "incomplete")
    return any((slot.closed or {}).get("status") == "incomplete" for slot in assembly.slots)


def aligned(slots: list[Slot], output: list[Item]) -> tuple[dict[int, Item], list[Item]]:
    """Which final item is which streamed one (by hub index), and which were never streamed.

    By id, else by call_id, else by type in order: GitHub Copilot gives every item a new id in every event.
    """
    forms: dict[int, Item] = {}
    rest: list[Item] = []
    for item in output:
        for slot in slots:
            if slot.index not in forms and _same(slot, item):
                forms[slot.index] = item
                break
        else:
            rest.append(item)
    missing: list[Item] = []
    for item in rest:
        free = [slot for slot in slots if slot.index not in forms and slot.type == item["type"]]
        fits = [slot for slot in free if not _other_call(slot, item)]
        if fits:
            forms[fits[0].index] = item
        else:
            missing.append(item)
    return forms, missing


def _same(slot: Slot, item: Item) -> bool:
    if slot.type != item["type"]:
        return False
    item_id, call_id = item.get("id"), item.get("call_id")
    return (bool(item_id) and slot.item.get("id") == item_id) or (bool(call_id) and slot.call_id == call_id)


def _other_call(slot: Slot, item: Item) -> bool:
    """Both have call ids of the upstream's and those differ: two calls, not one that changed its item id."""
    return bool(item.get("call_id")) and bool(slot.call_id)


def kind_of(name: str | None, event: dict[str, Any]) -> str:
    """The type of an event, or its name where it gives none, or is an error by that."""
    kind = event.get("type")
    return kind if type(kind) is str and name != "error" else name or ""


def is_failure(kind: str, event: dict[str, Any]) -> bool:
    """Whether an event of that type says that there is no answer: an `error`, nested or flat, or what is no event of this dialect
    and an error all the same."""
    return kind in OF_ERRORS or (not kind.startswith(OF_ANSWERS) and is_error(event))
