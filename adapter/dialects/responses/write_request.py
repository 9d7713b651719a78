"""A hub request as the body for an upstream that speaks Responses (map a1, a2; column C→R).

A Responses client's request is nearly this body already. A Chat client's has Responses shape, but says things that
Responses cannot hear: those are emulated (`stop`), left to the server (`n`, by several calls), or reported as losses.
"""

from __future__ import annotations

from itertools import chain
from operator import itemgetter
from typing import Any, Final

from adapter.dialects.responses.history import checked_history, upstream_history
from adapter.dialects.responses.offered import retold
from adapter.dialects.responses.simpler import fits, simplified
from adapter.errors import UnsupportedParameter
from adapter.hub.losses import Action, Loss
from adapter.hub.request import Carry, Exchange, Request, Written
from adapter.upstream.profiles import INCLUDED, Profile
from adapter.wire.jsonio import same

_BODY_FIELDS: Final = frozenset(
    [
        "background",
        "context_management",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    ]
)
_CALLED: Final = frozenset({"function", "custom", "function_call", "custom_tool_call"})
"""The types of tools that clients run, and of their calls: where there are none of these, no reasoning has to go on."""
_OF_TOOLS: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
_OPTIONAL: Final[dict[str, tuple[Any, ...]]] = {
    "include": (),
    "metadata": ({},),
    "moderation": (),
    "parallel_tool_calls": (True,),
    "prompt_cache_key": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": (),
    "safety_identifier": (),
    "service_tier": ("auto", "default"),
    "temperature": (),
    "top_logprobs": (0,),
    "top_p": (),
    "user": (),
}
"""Fields that not every server takes -> values that say nothing. A Chat client's `include` asks for logprobs."""
_HINTS: Final = frozenset({"prompt_cache_key", "prompt_cache_retention"})
_UNTAKEN: Final = "The upstream does not take this."
_TEXT: Final = {"type": "text"}
_PENALTIES: Final = ("presence_penalty", "frequency_penalty")
_BAN: Final = 100
"""A logit bias of ±100 bans or forces a token: without it the answer would be another one."""


def write_request(request: Request, profile: Profile) -> Written:
    """The upstream's body, what was lost, and what its answer needs to be read.

    Raises:
        BadRequest: leaving something out would mislead, or an item reference has nobody who could resolve it.
    """
    losses: list[Loss] = []
    sent, tools = (request, {}) if fits(request.body, profile) else simplified(request, profile, losses)
    body = dict(sent.body)
    if request.dialect == "chat":
        _from_chat(sent, body, profile, losses)
        if request.carry:
            _carried(request.carry, body, profile, losses)
    else:
        body["input"] = checked_history(sent, profile)
        body |= request.carry  # penalties: a client of this API is judged by its own server, as on the raw lane
        if sent is not request:
            _choose(body, profile, losses)
        # servers refuse its windows where they are not to run it in the background
        if body.get("background") is not True and body.pop("background_options", None):
            apart = "The upstream is not asked to answer in the background: this server does that, or nobody."
            losses.append(Loss("background_options", Action.DROPPED, "background_options", apart))
    body |= retold(body, profile, losses, request.dialect)
    body["store"] = body.get("store", True) is not False and profile.stateful
    body["stream"] = request.stream
    stop = tuple(request.carry.get("stop", ())) if request.carry else ()
    return Written(body, Exchange(request, profile, tools, stop), losses)


def _from_chat(request: Request, body: dict[str, Any], profile: Profile, losses: list[Loss]) -> None:
    body["input"] = upstream_history(request, profile, losses)
    if not body.keys() <= _BODY_FIELDS:
        for name in request.body.keys() - _BODY_FIELDS:
            del body[name]
        losses += [
            Loss(name, Action.DROPPED, "unknown_parameter", "The Responses API has no such parameter.")
            for name in request.body
            if name not in body
        ]
    if not _OPTIONAL.keys().isdisjoint(body):
        _leave_out(body, profile, losses)
    if profile.carries_reasoning:
        there = chain(body.get("tools", ()), body["input"])
        if not _CALLED.isdisjoint(map(itemgetter("type"), there)):
            body["include"] = list(dict.fromkeys([*body.get("include", ()), INCLUDED]))  # Cursor asks for it, too
    if (text := body.get("text")) is not None:
        body["text"] = text = {"format": _TEXT, **text}  # LM Studio refuses a text without
        if "verbosity" in text and "verbosity" not in profile.responses_accepts and text.pop("verbosity") != "medium":
            losses.append(Loss("verbosity", Action.DROPPED, "verbosity", _UNTAKEN))
        if not profile.text_format and text["format"] != _TEXT:
            text["format"] = _TEXT
            held = "The upstream's Responses endpoint holds no answer to a format."
            losses.append(Loss("response_format", Action.DROPPED, "response_format", held))
    if (effort := body.get("reasoning", {}).get("effort")) is not None:
        taken = profile.nearest_effort(effort)
        if taken is not None and taken != effort:
            body["reasoning"] = {**body["reasoning"], "effort": taken}
            words = "The upstream takes other effort words; the nearest is sent."
            losses.append(Loss("reasoning_effort", Action.APPROXIMATED, "reasoning.effort", words))
    if profile.reasoning_summary is not None:
        reasoning = body.get("reasoning", {})
        if reasoning.get("effort") != "none":  # there is nothing to sum up
            body["reasoning"] = {"summary": profile.reasoning_summary, **reasoning}
    limit = body.get("max_output_tokens")
    if limit is not None and limit < profile.min_output_tokens:
        body["max_output_tokens"] = profile.min_output_tokens
        least = f"The upstream takes no limit under {profile.min_output_tokens} tokens."
        losses.append(Loss(request.limit_name, Action.APPROXIMATED, "max_output_tokens", least))
    _choose(body, profile, losses, request.search)
    if not request.stream:
        body.pop("stream_options", None)


def _leave_out(body: dict[str, Any], profile: Profile, losses: list[Loss]) -> None:
    """Takes out what the upstream does not take: some refuse a request for a field that they do not know."""
    for field in [field for field in body if field in _OPTIONAL]:
        name = "logprobs" if field == "include" else field
        if name not in profile.responses_accepts and body.pop(field) not in _OPTIONAL[field] and name not in _HINTS:
            losses.append(Loss(name, Action.DROPPED, name, _UNTAKEN))


def _choose(body: dict[str, Any], profile: Profile, losses: list[Loss], search: dict[str, Any] | None = None) -> None:
    """The choice among the tools as the upstream heeds it, and nothing said of tools where there are none; `search` is a Chat
    client's setting, for which nobody chooses."""
    if profile.tool_choice != "named" and body.get("tools") and body.get("tool_choice") is not None:
        _choose_by_offer(body, profile, losses, search)
    if not body.get("tools") and not _OF_TOOLS.isdisjoint(body):
        for name in _OF_TOOLS:
            body.pop(name, None)


def _choose_by_offer(body: dict[str, Any], profile: Profile, losses: list[Loss], search: dict[str, Any] | None) -> None:
    """Says by the tools that are offered what the choice says and the upstream does not heed: names, where all that it names
    are known, and of a server that heeds no choice at all that none may be called."""
    choice = body["tool_choice"]
    if type(choice) is dict:
        named = choice["tools"] if choice["type"] == "allowed_tools" else [choice]
        wanted = [(tool["type"], tool.get("name")) for tool in named]
        offered = [tool for tool in body["tools"] if (tool["type"], tool.get("name")) in wanted]
        if len(offered) == len(wanted):
            choice = choice.get("mode", "required")
            if not any(same(search, tool) for tool in offered) and any(same(search, tool) for tool in body["tools"]):
                left = "Only the tools that are chosen are offered, and web search is not one of them."
                losses.append(Loss("web_search_options", Action.DROPPED, "web_search", left))
            body["tools"], body["tool_choice"] = offered, choice
    if profile.tool_choice == "ignored" and choice == "none":
        del body["tools"]
    elif profile.tool_choice == "ignored" and choice != "auto":
        unheard = "The upstream calls whatever it likes of the tools that it is sent."
        losses.append(Loss("tool_choice", Action.APPROXIMATED, "tool_choice", unheard))


def _carried(carry: Carry, body: dict[str, Any], profile: Profile, losses: list[Loss]) -> None:
    bias = carry.get("logit_bias")
    if bias:
        if any(abs(value) >= _BAN for value in bias.values()):
            raise UnsupportedParameter(
                "The upstream speaks Responses, which has no logit_bias; one of ±100 cannot be left out.",
                param="logit_bias",
            )
        losses.append(Loss("logit_bias", Action.DROPPED, "logit_bias", "The Responses API has no logit_bias."))
    if "seed" in carry:
        losses.append(Loss("seed", Action.DROPPED, "seed", "The Responses API has no seed."))
    if "prediction" in carry:
        losses.append(
            Loss("prediction", Action.DROPPED, "prediction", "The Responses API has no prediction; it only saves time.")
        )
    penalties: dict[str, Any] = {name: carry.get(name) for name in _PENALTIES}
    for name, value in penalties.items():
        if not value:  # absent, or the default that says nothing
            continue
        if name in profile.responses_accepts:
            body[name] = value
        else:
            losses.append(Loss(name, Action.DROPPED, "penalty", f"The upstream takes no {name}."))
    if carry.get("stop"):
        losses.append(Loss("stop", Action.EMULATED, "stop", "The adapter cuts the answer at the stop sequence."))
