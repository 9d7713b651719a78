"""Chat Completions: messages in, choices out. Exports exactly the names of `dialects.base.Dialect`."""

from __future__ import annotations

from typing import Final

from adapter.dialects.chat.read_request import read_request
from adapter.dialects.chat.write_request import write_request
from adapter.hub.request import DialectName

name: Final[DialectName] = "chat"

__all__ = ["name", "read_request", "write_request"]
