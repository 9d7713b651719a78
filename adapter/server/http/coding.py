"""Content codings of request bodies.

Codex compresses what it sends to a provider of the name OpenAI with zstd, as soon as somebody has logged in with ChatGPT
(`enable_request_compression`, on by default); others use gzip. A body is one member or frame of one coding, and what comes
out of it is held to the same limit as what is sent plainly.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Final, Protocol

from adapter.errors import InvalidContentEncoding, PayloadTooLarge

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_ZLIB_OR_GZIP: Final = 32 + zlib.MAX_WBITS
_MOST_TIMES: Final = 100
"""What comes out, to what came in: conversations shrink to a tenth, what shrinks to a hundredth is made to fill a memory."""
_SURELY: Final = 1024 * 1024
"""Bytes that may come out of anything."""
_WINDOW: Final = 23
"""Log2 of the bytes of its own past that a frame may refer to: what RFC 9659 grants. A frame of ten bytes can ask for 128 MB."""


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def _inflating() -> tuple[_Decoder, type[Exception]]:
    return zlib.decompressobj(_ZLIB_OR_GZIP), zlib.error


def _of_zstd() -> tuple[_Decoder, type[Exception]]:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW}), zstd.ZstdError


_DECODERS: Final[dict[bytes, Callable[[], tuple[_Decoder, type[Exception]]]]] = {
    b"gzip": _inflating,
    b"x-gzip": _inflating,
    b"deflate": _inflating,
    b"zstd": _of_zstd,
}
CODINGS: Final = frozenset({b"", b"identity", *_DECODERS})
"""The values of Content-Encoding that are taken, in small letters."""


def decoded(data: bytes, coding: bytes, limit: int) -> bytes:
    """A body that was sent in one of `CODINGS`.

    Raises:
        InvalidContentEncoding: it is none, or not one alone and whole.
        PayloadTooLarge: there would be more than `limit` bytes; they are not made.
    """
    begin = _DECODERS.get(coding)
    if begin is None:
        return data
    limit = min(limit, max(_MOST_TIMES * len(data), _SURELY))
    decoder, broken = begin()
    try:
        found = decoder.decompress(data, limit + 1)
    except broken:
        raise InvalidContentEncoding(f"The request body is not {coding.decode()}.") from None
    if len(found) > limit:
        raise PayloadTooLarge.over(limit)
    if not decoder.eof or decoder.unused_data:
        raise InvalidContentEncoding(f"The request body is not one whole {coding.decode()} member.")
    return found
