"""Tells data from keep-alives in a stream of server-sent events, without parsing it.

A comment (`: ping`) shows that the connection lives, not that the model does: the deadline for silence counts data only.
"""

from __future__ import annotations

_LF = 0x0A
_BEGINS_DATA = b"de{"
"""`data:`, `event:`, JSON."""


class Ear:
    """Listens to one stream; the cut of the reads does not matter."""

    __slots__ = ("_in_comment", "_mid_line")

    def __init__(self) -> None:
        self._mid_line = False
        self._in_comment = False

    def hears_data(self, chunk: bytes) -> bool:
        """Whether this read holds anything but comments and blank lines."""
        if not chunk:
            return False
        if not self._in_comment and chunk[0] in _BEGINS_DATA and chunk[-1] == _LF:  # nearly every read
            self._mid_line = False
            return True
        heard = self._mid_line and not self._in_comment
        if not heard:
            heard = self._beyond_comments(chunk)
        line = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if line or not self._mid_line:
            self._in_comment = chunk[line : line + 1] == b":"
            self._mid_line = self._in_comment or bool(chunk[line:].strip())
        return heard

    def _beyond_comments(self, chunk: bytes) -> bool:
        if not self._in_comment and chunk[0] not in b":\r\n \t":
            return True
        _, *lines = chunk.replace(b"\r", b"\n").split(b"\n")  # the first is a comment or blank
        return any(line.strip() and line[:1] != b":" for line in lines)
