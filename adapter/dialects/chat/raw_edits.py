"""A Chat client's own request for a Chat server that refuses some of it: the edits that let it go on as it came otherwise.

What a server demands, its profile says, and a request that has come through the hub meets it already: its messages are written
for that server (`request.history`, `request.settings`). Here the same is done to messages that nobody writes anew. What the
client said itself stays: its own reasoning, its own signatures, the order of all, and ids that pass. Nothing is lost by it, as
nothing is there; and what was edited needs no edit any more.

`developer` messages keep their place, whatever `late_system` says: a server that minds it minds `system` there, too, which goes
on as it came.
"""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects.chat.request.turns import Message, demand_reasoning, demand_signatures
from adapter.hub.names import fitted_call_id, other_call_id
from adapter.upstream.profiles import CallIdRule, Profile

_OBJECT_ONLY: Final = frozenset({dict})
_INSTRUCTING: Final = ("system", "developer")
_LIMITS: Final = ("max_completion_tokens", "max_tokens")
"""The names of the limit; the first wins where both are given."""


def meet_demands(sent: dict[str, Any], profile: Profile) -> None:
    """Puts into `sent` what the server demands. Its members, which are the client's, are not changed but replaced."""
    if profile.limit_demanded:
        _rename_limit(sent, profile.max_tokens_field)
    if profile.role_demanded:
        sent["messages"] = _instructed(sent["messages"], profile.instructions_role)
    rule = profile.call_id
    if not (profile.reasoning_demanded or profile.signatures_demanded or rule.alphabet != "any"):
        return
    sent["messages"] = messages = [_own(one) if one["role"] == "assistant" else one for one in sent["messages"]]
    turns = [message for message in messages if message["role"] == "assistant"]
    calling = [turn for turn in turns if _calls(turn)]
    if profile.reasoning_demanded and (calling or sent.get("tools")):  # where there are no tools, none is missed
        for turn in turns:
            _call_reasoning(turn, profile.reasoning_field)
        demand_reasoning(turns, profile)
    if profile.signatures_demanded:
        demand_signatures(calling)
    if rule.alphabet != "any":
        _fit_ids(messages, rule)


def _rename_limit(sent: dict[str, Any], name: str) -> None:
    said = [limit for limit in _LIMITS if limit in sent]
    if said in ([], [name]):
        return
    limits = [sent.pop(limit) for limit in said]
    limit = next((limit for limit in limits if limit is not None), None)
    if limit is not None:
        sent[name] = limit


def _instructed(messages: list[Message], role: str) -> list[Message]:
    return [{**message, "role": role} if message["role"] in _INSTRUCTING else message for message in messages]


def _call_reasoning(turn: Message, field: str) -> None:
    """Gives a turn's own reasoning the name that the server has for it, too."""
    said = turn.get("reasoning_content") or turn.get("reasoning")
    if type(said) is str and not turn.get(field):
        turn[field] = said


def _own(turn: Message) -> Message:
    """A copy that can be changed, and so can the calls in it."""
    calls = _calls(turn)
    return {**turn, "tool_calls": list(map(dict, calls))} if calls else dict(turn)


def _calls(turn: Message) -> list[dict[str, Any]]:
    """The calls of an assistant's message; none where they are not what calls are, which is for the server to judge."""
    calls = turn.get("tool_calls")
    return calls if type(calls) is list and _OBJECT_ONLY.issuperset(map(type, calls)) else []


def _fit_ids(messages: list[Message], rule: CallIdRule) -> None:
    """Gives calls ids that pass, and the outputs that follow them the same."""
    wire_ids: dict[str, str] = {}
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            calls = [call for call in _calls(message) if type(call.get("id")) is str]
            wire_ids |= _renamed([call["id"] for call in calls], rule)
            for call in calls:
                call["id"] = wire_ids.get(call["id"], call["id"])
        elif message["role"] == "tool":
            call_id = message.get("tool_call_id")
            if type(call_id) is str and call_id in wire_ids:
                messages[index] = {**message, "tool_call_id": wire_ids[call_id]}


def _renamed(ids: list[str], rule: CallIdRule) -> dict[str, str]:
    """Of the ids of one turn's calls those that do not pass -> what they are sent as; no two as the same."""
    fitted = {call_id: fitted_call_id(call_id, rule) for call_id in ids}
    taken = {call_id for call_id, wire_id in fitted.items() if wire_id == call_id}
    renamed: dict[str, str] = {}
    for call_id, wire_id in fitted.items():
        if wire_id != call_id:
            renamed[call_id] = other_call_id(call_id, rule, taken) if wire_id in taken else wire_id
            taken.add(renamed[call_id])
    return renamed
