"""Both dialects by their names."""

from __future__ import annotations

from typing import Any, Final

from adapter.dialects import chat, responses
from adapter.dialects.base import Dialect
from adapter.dialects.mixed import is_mixed, read_mixed
from adapter.hub.request import ClientTraits, DialectName, Request

DIALECTS: Final[dict[DialectName, Dialect]] = {"chat": chat, "responses": responses}


def read_request(dialect: DialectName, body: dict[str, Any], client: ClientTraits = ClientTraits.GENERIC) -> Request:
    """What came to the endpoint of a dialect, checked, into the hub.

    Raises:
        BadRequest: what is wrong with it, with `param`.
    """
    if dialect == "chat" and is_mixed(body):
        return read_mixed(body, client)
    return DIALECTS[dialect].read_request(body, client)
