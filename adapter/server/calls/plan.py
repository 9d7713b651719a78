"""What is to be done for one request: which upstream, which lane, which bytes. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from adapter.dialects.registry import DIALECTS
from adapter.dialects.responses.offered import retold
from adapter.errors import AdapterError, InvalidType, InvalidValue, MissingParameter, UpstreamInvalid
from adapter.hub.losses import Action, Loss
from adapter.hub.request import Carry, ClientTraits, DialectName, Exchange, Request
from adapter.server.calls.raw_request import checked, edited
from adapter.upstream.profiles import INCLUDED
from adapter.upstream.router import Router, Target
from adapter.upstream.wordings import Meaning
from adapter.wire.jsonio import dumps, loads

PATHS: Final[dict[DialectName, str]] = {"chat": "/chat/completions", "responses": "/responses"}

_SHORT: Final = 2048


@dataclass(slots=True, kw_only=True)
class Plan:
    """One request, ready to be sent to one target; not frozen, as `Exchange`."""

    target: Target
    path: str
    """Behind the upstream's base URL."""
    speaks: DialectName
    """What is asked and answered there."""
    body: bytes
    """What every upstream call of this request is sent."""
    exchange: Exchange
    stream: bool
    calls: int
    """How many upstream calls make the answer (n)."""
    losses: list[Loss]


SEALED: Final = ("encrypted_content",)
"""The member of reasoning that only its maker can open."""
_THOUGHT: Final = re.compile(r"input\[\d+\]\.content")


def foreign(refused: AdapterError) -> tuple[str, ...]:
    """The members of reasoning for which a Responses server refused it as another one's: what it cannot open, or, as OpenAI, text
    where it takes none. None of them where that was not why."""
    if refused.code == Meaning.SEALED.value:
        return SEALED
    if refused.code == "array_above_max_length" and _THOUGHT.match(refused.param or ""):
        return (*SEALED, "content")
    return ()


def without_reasoning(sent: bytes, members: tuple[str, ...]) -> bytes | None:
    """A Responses body without the reasoning that has some of these members; None where there is none of it, or nothing else."""
    if not members:
        return None
    body = loads(sent)
    given = body.get("input")
    items = given if isinstance(given, list) else []
    kept = [item for item in items if item.get("type") != "reasoning" or not any(map(item.get, members))]
    return None if len(kept) in (0, len(items)) else dumps({**body, "input": kept})


def without_included_reasoning(sent: bytes) -> bytes | None:
    """A Responses body that asks for no reasoning that only its maker can read; None where it asks for none."""
    body = loads(sent)
    included = body.pop("include", None) or []
    if INCLUDED not in included:
        return None
    others = [one for one in included if one != INCLUDED]
    return dumps({**body, "include": others} if others else body)


def targets(body: dict[str, Any], router: Router, visible: frozenset[str] | None = None) -> tuple[Target, ...]:
    """Where the request may go, by priority. The routing hint is taken out of `body`. `visible`: the upstreams that there are
    for the caller; None: all.

    Raises:
        BadRequest: the model or the hint is missing or no name.
        ModelNotFound: nothing serves the model.
    """
    model = body.get("model")
    if model is None or model == "":
        raise MissingParameter("model is required.", param="model")
    if not isinstance(model, str):
        raise InvalidType("model must be a string.", param="model")
    provider = body.get("provider")
    if isinstance(provider, str):  # an object is an upstream's own parameter (OpenRouter)
        del body["provider"]
        return router.route(model, provider, visible)
    return router.route(model, None, visible)


def passed(
    body: dict[str, Any],
    dialect: DialectName,
    client: ClientTraits,
    target: Target,
    *,
    path: str | None = None,
    metered: bool = False,
) -> Plan:
    """A body that goes on in the dialect it came in. `metered`: what the answer costs has to be known.

    Raises:
        BadRequest: what is wrong with it, with `param`.
    """
    checked(body, dialect, target)
    sent = edited(body, dialect, target, metered=metered)
    losses: list[Loss] = []
    if dialect == "responses":
        sent |= retold(body, target.profile, losses)
    stream = sent.get("stream") is True
    asked = body.get("stream_options")
    usage = asked is not None and asked.get("include_usage") is True
    request = Request(sent, dialect, stream=stream, include_usage=usage, client=client, losses=losses)
    return Plan(
        target=target,
        path=path or PATHS[dialect],
        speaks=dialect,
        body=serialised(filled(sent, target.upstream.extra_body)),
        exchange=Exchange(request=request, profile=target.profile),
        stream=stream,
        calls=1,
        losses=losses,
    )


def written(request: Request, target: Target) -> Plan:
    """A request that goes through the hub.

    Raises:
        BadRequest: what cannot be carried and cannot be left out, with `param`.
    """
    dialect, profile = target.upstream.dialect, target.profile
    request = request.to_model(target.model)
    made = DIALECTS[dialect].write_request(request, profile)
    losses = request.losses + made.losses
    asked = request.carry.get("n", 1)
    calls = 1 if "n" in made.body else asked
    if calls > 1:
        losses.append(Loss("n", Action.EMULATED, "n", "Each choice is an upstream call of its own."))
    return Plan(
        target=target,
        path=PATHS[dialect],
        speaks=dialect,
        body=serialised(filled(made.body, target.upstream.extra_body)),
        exchange=made.exchange,
        stream=request.stream,
        calls=calls,
        losses=losses,
    )


def filled(body: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """`body`, and of `extra` what it does not say; tables are filled key by key."""
    if not extra:
        return body
    both = dict(body)
    for name, value in extra.items():
        said = both.get(name)
        if said is None:
            both[name] = value
        elif isinstance(said, dict) and isinstance(value, dict):
            both[name] = filled(said, value)
    return both


def serialised(body: dict[str, Any]) -> bytes:
    """A body that holds what a client sent.

    Raises:
        InvalidValue: it is nested deeper than JSON is written here.
    """
    try:
        data = dumps(body)
    except ValueError:
        raise InvalidValue("The request is nested too deeply.") from None
    # orjson's own bytes take 4 kB at least, and these live as long as the answer: a tenth of what an idle stream takes
    return data if len(data) > _SHORT else b"%b" % data


def translated(plan: Plan) -> Exchange:
    """The exchange of a raw plan whose answer has to be read after all: JSON for a stream, a stream for JSON. Of the request
    only what an answer of the same dialect needs, and nothing that could be wrong: the upstream has taken it.

    Raises:
        UpstreamInvalid: there are several choices, and only one is read of such an answer.
    """
    request = plan.exchange.request
    body = request.body
    if request.dialect == "responses":
        return replace(plan.exchange, request=replace(request, body={**body, "input": []}))
    if body.get("n") not in (None, 1):
        raise UpstreamInvalid("The upstream answered with several choices in another form than was asked for.")
    carry = Carry()
    if body.get("functions") is not None or body.get("function_call") is not None:
        carry["functions"] = True
    read = replace(request, body={"model": request.model, "input": []}, carry=carry)
    return replace(plan.exchange, request=read)
