"""Chat Completions: messages in, choices out. Exports exactly the names of `dialects.base.Dialect`."""

from __future__ import annotations

from typing import Final

from adapter.dialects.chat.raw import raw_stream
from adapter.dialects.chat.read_request import read_request
from adapter.dialects.chat.read_stream import stream_reader
from adapter.dialects.chat.reply import check_reply, read_answer, read_reply, write_reply
from adapter.dialects.chat.unsaid import unsaid
from adapter.dialects.chat.write_request import write_request
from adapter.dialects.chat.write_stream import stream_writer
from adapter.hub.request import DialectName

name: Final[DialectName] = "chat"

__all__ = [
    "check_reply",
    "name",
    "raw_stream",
    "read_answer",
    "read_reply",
    "read_request",
    "stream_reader",
    "stream_writer",
    "unsaid",
    "write_reply",
    "write_request",
]
