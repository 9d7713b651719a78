"""Emoji that a server cut in two: halves of a surrogate pair that arrive in two deltas are joined again.

JSON can spell half a pair (`"\\ud83d"`), UTF-8 cannot. A server that streams UTF-16 units sends the halves in neighbouring
deltas. The reader keeps the held half beside the text it belongs to; what `rejoined` gives is always valid Unicode, so
nobody downstream has to think of surrogates.
"""

from __future__ import annotations

from typing import Final

REPLACEMENT: Final = "\ufffd"
"""What stands for a half whose other half never came."""


def rejoined(held: str, text: str) -> tuple[str, str]:
    """`held + text` as valid Unicode, and the trailing high half to hold back for the next delta ("" mostly).

    Pairs are joined; a half without its partner in the middle becomes U+FFFD. A half still held at the end of its text is
    the caller's to give out as `REPLACEMENT`.
    """
    if not held and text.isascii():
        return text, ""
    joined = held + text
    try:
        joined.encode()
    except UnicodeEncodeError:
        pass
    else:
        return joined, ""
    held = ""
    if "\ud800" <= joined[-1] <= "\udbff":
        joined, held = joined[:-1], joined[-1]
    return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), held


def mended(text: str) -> str:
    """`text` as valid Unicode, for a string that comes whole."""
    if text.isascii():
        return text
    joined, half = rejoined("", text)
    return joined + (REPLACEMENT if half else "")
