"""The Responses dialect: both edges, for clients and for upstreams. See `adapter.dialects.base.Dialect`."""

from adapter.dialects.responses.raw import raw_stream
from adapter.dialects.responses.read_request import read_request
from adapter.dialects.responses.read_stream import stream_reader
from adapter.dialects.responses.reply import check_reply, read_answer, read_reply, unsaid, write_reply
from adapter.dialects.responses.write_request import write_request
from adapter.dialects.responses.write_stream import stream_writer
from adapter.hub.request import DialectName

name: DialectName = "responses"

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
