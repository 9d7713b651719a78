"""Where the upstream says the fault lies, in the words of the client's dialect.

An upstream names the fields of its own API. What the client's API calls by the same name stays; what it calls otherwise is
renamed; and where a whole conversation or all tools were written anew, the place inside them means nothing to the client,
so that only the field is named.
"""

from __future__ import annotations

import re
from typing import Final

from adapter.hub.request import DialectName

_NAMES: Final[dict[DialectName, dict[str, str]]] = {
    "responses": {
        "messages": "input",
        "max_tokens": "max_output_tokens",
        "max_completion_tokens": "max_output_tokens",
        "response_format": "text.format",
        "verbosity": "text.verbosity",
        "reasoning_effort": "reasoning.effort",
        "logprobs": "include",
        "web_search_options": "tools",
    },
    "chat": {
        "input": "messages",
        "instructions": "messages",
        "max_output_tokens": "max_completion_tokens",
        "text.format": "response_format",
        "text.verbosity": "verbosity",
        "reasoning.effort": "reasoning_effort",
        "reasoning": "reasoning_effort",
        "include": "logprobs",
    },
}
"""Client's dialect -> the other dialect's name of a field -> its own."""
_INSIDE: Final[dict[DialectName, re.Pattern[str]]] = {
    "responses": re.compile(r"(tool_choice|tools)(?:\[\d+\])?\.(?:function|custom|allowed_tools)\b"),
    "chat": re.compile(r"(tool_choice|tools)(?:\[\d+\])?\.(?!(?:type|function|custom|allowed_tools)\b)"),
}
"""Client's dialect -> a place inside a tool, or a choice of tools, as the other dialect writes it."""
_FIELD: Final = re.compile(r"text\.(?:format|verbosity)|reasoning\.(?:effort|summary)|\w+")


def for_client(param: str | None, dialect: DialectName) -> str | None:
    """An upstream's `param` for a client of `dialect`; one that names a field of the client's own API is left as it is."""
    if param is None:
        return None
    if (inside := _INSIDE[dialect].match(param)) is not None:
        return inside[1]
    found = _FIELD.match(param)
    return param if found is None else _NAMES[dialect].get(found[0], param)
