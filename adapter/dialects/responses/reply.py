"""Plain replies: a Response object into hub events, and a finished answer into a Response object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from adapter.dialects.functions.restoring import Restoring
from adapter.dialects.responses.answers import (
    FAILURES,
    STATUS_MENDED,
    ended,
    ending,
    failure,
    head,
    output_of,
    said_beside,
    started,
)
from adapter.dialects.responses.assembly import Assembly
from adapter.dialects.responses.echo import BLANK, echo
from adapter.dialects.responses.plain import closed_items
from adapter.dialects.responses.traits import shown_item
from adapter.errors import AdapterError, UpstreamInvalid
from adapter.hub.events import Event, Item
from adapter.hub.fold import Answer, fold
from adapter.hub.losses import Anomaly, Loss
from adapter.hub.request import Clock, Exchange, Ids, derived_token, no_clock
from adapter.hub.usage import heard
from adapter.upstream.refusals import ABOUT_INPUT, from_error_object, from_no_answer
from adapter.upstream.wordings import SPENT

_NO_OUTPUT: Final = "The upstream's answer has no output."


def read_answer(
    body: Any, exchange: Exchange, *, ids: Ids = derived_token, clock: Clock = no_clock
) -> tuple[Answer, list[Anomaly]]:
    """See `Dialect.read_answer`."""
    items = None
    if type(body) is dict and body.get("object") != "response.compaction" and not exchange.tools:
        end = ending(body, "completed", exchange)
        if end.error is None:
            items = closed_items(body.get("output"), end.status)
    if items is None:
        events, anomalies = read_reply(body, exchange, ids=ids, clock=clock)
        return fold(events), anomalies
    mended: list[Anomaly] = []
    status, reason = end.status, end.reason
    if reason is None and items[len(items) - 1].get("status") == "incomplete":
        status, reason = "incomplete", "max_output_tokens"
        mended.append(STATUS_MENDED)
    response_id, model, created_at = head(body, exchange, ids, clock)
    losses: list[Loss] = []
    usage, beside = heard(body.get("usage"), exchange.request.dialect, losses), said_beside(body, exchange)
    answer = Answer(response_id, model, created_at, status, reason, items, usage, beside)
    if losses:
        answer.losses = tuple(losses)
    return answer, mended


def check_reply(body: dict[str, Any]) -> AdapterError | None:
    """See `Dialect.check_reply`. A response that failed with an output says so itself."""
    output = body.get("output")
    if not output and body.get("error"):
        raise from_error_object(body)
    if type(output) is not list:
        raise from_no_answer(body, _NO_OUTPUT)
    status = body.get("status")
    return failure(body, status) if status in FAILURES else None


def read_reply(
    body: Any, exchange: Exchange, *, ids: Ids = derived_token, clock: Clock = no_clock
) -> tuple[list[Event], list[Anomaly]]:
    """See `Dialect.read_reply`. A Response object is read however little of it there is."""
    if type(body) is not dict:
        raise UpstreamInvalid("The upstream's answer is not a JSON object.")
    end, output, status = ending(body, "completed", exchange), output_of(body), body.get("status")
    if not output and not isinstance(body.get("output"), list) and status != "failed":
        raise end.error or from_no_answer(body, _NO_OUTPUT)
    if not output and status in ("queued", "in_progress"):
        raise UpstreamInvalid("The upstream has only begun to answer.")
    if body.get("object") == "response.compaction":
        raise UpstreamInvalid("The upstream's answer is a compaction, not a response.")
    assembly = Assembly(bare_logprobs=exchange.request.dialect == "responses")
    given = body.get("id")
    assembly.token = ids(given if isinstance(given, str) else "")
    assembly.out.append(started(body, exchange, ids, clock))
    events = ended(assembly, body, end, {}, exchange.request.dialect)
    return Restoring(exchange.tools, assembly.anomalies).restored(events), assembly.anomalies


_FAILED_CODES: Final = (
    ABOUT_INPUT
    | SPENT
    | {
        "server_error",
        "rate_limit_exceeded",
        "vector_store_timeout",
        "context_length_exceeded",
        "insufficient_quota",
        "model_not_found",
        "server_is_overloaded",
        "slow_down",
        "flex_unavailable",
        "usage_not_included",
    }
)
"""What `error.code` of a Response may be: the official values, and those that clients act on."""


def failed_error(error: AdapterError) -> dict[str, Any]:
    """The `error` of a failed Response; a code that clients do not know is a server_error."""
    code = error.code if error.code in _FAILED_CODES else "server_error"
    return {"code": code, "message": error.message, **error.details}


def error_facts(error: AdapterError) -> dict[str, Any]:
    """What an `error` event says: flat and nested, as different clients look for it."""
    return {"code": error.code, "message": error.message, "param": error.param, **error.body()}


def answer_facts(
    answer: Answer, output: list[Item], completed_at: int | None, made: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The part of a Response that says what was answered, laid onto `made`: a copy of `BLANK`, or nothing yet."""
    made = {} if made is None else made
    made["id"] = answer.id
    made["object"] = "response"
    made["created_at"] = answer.created_at
    made["completed_at"] = completed_at
    made["status"] = answer.status
    made["error"] = None if answer.error is None else failed_error(answer.error)
    made["incomplete_details"] = {"reason": answer.reason} if answer.status == "incomplete" else None
    made["model"] = answer.model
    made["output"] = output
    made["usage"] = answer.usage
    return made


def unsaid(answers: Sequence[Answer], _exchange: Exchange) -> list[Loss]:
    """What the hub has no place for: it speaks this dialect."""
    return [*answers[0].losses]


def write_reply(answers: Sequence[Answer], exchange: Exchange) -> dict[str, Any]:
    """The answer as a Response object with every key that the API or Open Responses requires.

    A failed answer is rendered with its status and error; that a plain call then answers with an HTTP error is for the
    server to do. Responses clients cannot ask for several answers: the first is it.
    """
    answer = answers[0]
    output = list(answer.items.values())
    if not exchange.request.client.shows_refusals:
        output = [shown_item(item) for item in output]
    completed_at = answer.extra.get("completed_at", answer.created_at) if answer.status == "completed" else None
    return answer_facts(answer, output, completed_at, echo(exchange.request, answer.extra, BLANK))
