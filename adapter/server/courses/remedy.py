"""What a refusal says of the words in which a Responses server was asked, and which others may help.

Most servers that do not know a tool say so of its type, some say nothing but that the request is invalid, and a template that
takes instructions only as its first message says that, as does who takes none as messages of the system. So what clients run is
said in other words first, since nothing is lost by that, then what servers run is dropped and instructions go to the beginning. What
is wrong inside of something that a server may well know, its client has to hear: but for the schema of a function that does not say
that it is of an object, of which any server may want to hear that, whatever is known of its tools.
"""

from __future__ import annotations

import re
from typing import Any, Final

from adapter.dialects.responses.offered import is_loose
from adapter.dialects.responses.simpler import OF_CLIENTS, kinds
from adapter.errors import AdapterError, UpstreamRefused, UpstreamUnwell
from adapter.hub.request import Request
from adapter.upstream.profiles import INCLUDED, LATE, SCHEMAS, SYSTEM, Profile
from adapter.upstream.refusals import POLICIES
from adapter.upstream.wordings import Meaning

_NOTHING: Final[frozenset[str]] = frozenset()
_ITS_PLACES: Final = frozenset({SCHEMAS, INCLUDED})
"""A server that does not know these, and nothing else, is told the client's places."""
_INVALID: Final = frozenset({400, 422})
_ELSE: Final = POLICIES - {"invalid_prompt"} | {Meaning.CONTEXT.value, "invalid_encrypted_content"}
"""Codes of refusals for what is said, and not for how; OpenRouter says `invalid_prompt` of tools that it does not know."""
_QUOTED: Final = r"invalid_request_error|BadRequestError"
"""What LiteLLM's 500 says where the server behind it refused."""
_MISPLACED: Final = {
    LATE: r"\bJinja\b|[Ss]ystem message must be at the beginning",
    SYSTEM: r"\b[Ss]ystem (?:messages?|roles?) (?:is |are )?not (?:allowed|permitted|supported)",
}
"""What servers say of instructions that stand where they do not take them: llama.cpp and LM Studio, with a 500 mostly, where a template
takes them only as its first message; ChatGPT's backend and the AI SDK, where they may be no message of the system."""
_OF_KINDS: Final = (
    r"tool|namespace|unknown variant|discriminator|literal_error|\bitem\b|input\W{0,2}\d|invalid responses api request"
)
"""What servers say of a kind that they do not know: one of these, where they name no path."""
_SCHEMA_CODE: Final = "invalid_function_parameters"
_OF_SCHEMAS: Final = (
    _SCHEMA_CODE
    + r"|[Ii]nvalid schema for function|JSON Schema of 'type: \W*object|got 'type: \W*None|schema missing properties"
)
"""What OpenAI and Azure say of a function's schema, also through gateways; others name the path."""
_WHOLE: Final = ("tools", "input", "tool_choice")


def may_mean_form(refused: AdapterError) -> bool:
    """Whether a refusal may mean that the server knows a kind of tool or item not which the request has, or instructions not where
    it has them (llama.cpp #20156, LM Studio #1810 and #2298, vLLM #42475, OpenRouter, LiteLLM #36182, CLIProxyAPI #3510)."""
    if isinstance(refused, UpstreamUnwell):
        return re.search(_QUOTED, refused.message) is not None or bool(_misplaced(refused))
    return isinstance(refused, UpstreamRefused) and refused.http_status in _INVALID and refused.code not in _ELSE


def remedy(refused: AdapterError, request: Request, profile: Profile) -> frozenset[str]:
    """What a server of this profile may not know of the request that it refused, in the words of `Profile.responses_unknown`; empty
    where that is not why, or where nothing is known that could be said otherwise."""
    if not may_mean_form(refused):
        return _NOTHING
    if SCHEMAS not in profile.responses_unknown and _is_about_schemas(refused) and is_loose(request.body):
        return frozenset({SCHEMAS})
    if profile.stateful or profile.responses_tools:  # it is known what it knows
        return _NOTHING
    said = kinds(request.body).difference(profile.responses_unknown)
    moved, others = said & _misplaced(refused), said - {SYSTEM}
    return frozenset(
        moved | (others & OF_CLIENTS or others if _is_about_kinds(refused, request, profile) else _NOTHING)
    )


def _misplaced(refused: AdapterError) -> set[str]:
    """Which instructions stand where the server does not take them."""
    return {kind for kind, words in _MISPLACED.items() if re.search(words, refused.message)}


def _is_about_schemas(refused: AdapterError) -> bool:
    """Whether it is some function's schema."""
    return (
        refused.code == _SCHEMA_CODE
        or "parameters" in _steps(refused)
        or re.search(_OF_SCHEMAS, refused.message) is not None
    )


def _steps(refused: AdapterError) -> list[str]:
    """The path that it names, step by step."""
    return re.findall(r"\w+", (refused.param or "").removeprefix("body"))


def _is_about_kinds(refused: AdapterError, request: Request, profile: Profile) -> bool:
    """Whether a refusal may be about what something is, not about what is in it, or about anything else."""
    match _steps(refused):
        case []:
            return re.search(_OF_KINDS, refused.message.lower()) is not None
        case [field] | [field, _] | [field, _, "type" | "role"]:
            return field in _WHOLE
        case [field, place, *_] if request.dialect == "responses" and _ITS_PLACES.issuperset(profile.responses_unknown):
            return _is_of_clients(request.body.get(field), place)
    return False


def _is_of_clients(listed: Any, place: str) -> bool:
    if not isinstance(listed, list) or not place.isdecimal() or len(place) > 6 or int(place) >= len(listed):
        return False
    one = listed[int(place)]
    return bool((kinds({"tools": [one]}) | kinds({"input": [one]})) & OF_CLIENTS)
