"""A hub request -> the body for a Chat upstream of a given profile."""

from __future__ import annotations

from typing import Any

from adapter.dialects.chat.request.history import History
from adapter.dialects.chat.request.settings import write_settings
from adapter.dialects.chat.request.tool_choice import write_tool_fields
from adapter.dialects.checks import wrong_value
from adapter.dialects.functions.toolbox import gather_tools
from adapter.dialects.writing import Writing
from adapter.hub.request import Exchange, Request, Written
from adapter.upstream.profiles import Profile


def write_request(request: Request, profile: Profile) -> Written:
    """The request as this kind of server takes it, what was lost, and how to read the answer.

    Deterministic: equal requests give equal bytes, so that the upstream's prompt cache hits.

    Raises:
        BadRequest: with `param`, where carrying on would mislead.
    """
    writing = Writing(request, profile)
    write_settings(writing)
    box = gather_tools(writing)
    messages = History(writing, box).messages(writing.hint)
    if not messages:
        raise wrong_value(writing.at(0) if request.dialect == "chat" else "input", "at least one message to send")
    body: dict[str, Any] = {"model": request.model, "messages": messages}
    body.update(write_tool_fields(writing, box))
    body.update(writing.fields)
    exchange = Exchange(request, profile, box.refs, writing.stop)
    return Written(body, exchange, writing.losses)
