"""A patch for a custom tool that takes patches, out of what models put around it.

The tool's grammar says how its input begins and ends, `*** Begin Patch` and `*** End Patch`. A server that gets the tool as a
function holds nobody to the grammar, and models that have not learnt it write stars behind the two markers, a code fence, the
command line of a shell, or once more JSON. Codex refuses all of them, and a turn is lost.

Where the whole input is one patch in nothing but such wrappings, they are taken off. Everything else stays as the model wrote
it: two patches, half a patch, words around it. Blank lines around a patch, an absent final newline and CRLF are no trouble to
Codex and stay, too.

The rule is a function of the whole input, `bare`. `PatchMender` gives out at once what no continuation could change: all of an
input that begins with `*** Begin Patch` and the end of its line, but for stars behind the end, and all of one that begins with
none of the wrappings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from adapter.dialects.functions.json_string import sole
from adapter.hub.surrogates import mended
from adapter.wire.jsonio import NotJson, loads

_STARS: Final = r"[ \t]{0,8}\*{1,8}"
_BLANK: Final = r"[ \t\r\n]{0,99}"
_END: Final = "\n*** End Patch"
_MARKER: Final = re.compile(r"^\*\*\* (?:Begin|End) Patch\b", re.MULTILINE)
_PATCH: Final = re.compile(
    rf"((?:{_BLANK}\n)?\*\*\* Begin Patch)(?:{_STARS})?([ \t]*\r?\n(?:.*\n)?\*\*\* End Patch)(?:{_STARS})?({_BLANK})",
    re.DOTALL,
)
"""What is kept of a patch, around the stars that are not."""
_AFTER_END: Final = re.compile(rf"[ \t]{{0,8}}|{_STARS}{_BLANK}")
"""What may follow the end marker where its stars are taken off, or the beginning of that."""
_FENCE: Final = re.compile(r"\s*```[\w-]*[ \t]*\n(.*?)\n?```\s*", re.DOTALL)
_HEREDOC: Final = re.compile(r"""\s*(?:apply_patch\s*)?<<-?[ \t]*(['"]?)(\w+)\1[ \t]*\n(.*?\n)\2\s*""", re.DOTALL)
_COMMANDS: Final = frozenset(
    {("apply_patch",), *((shell, flag) for shell in ("bash", "sh", "zsh") for flag in ("-c", "-lc"))}
)
"""What stands before a patch, or before a shell's words for it, in a list of arguments."""
_MOST_WRAPPINGS: Final = 3
"""JSON, a heredoc and a fence: more than was ever seen at once."""
_LONGEST_OPENING: Final = 100


class _State(Enum):
    OPENING = "opening"
    """It may become any of the others; held."""
    PATCH = "patch"
    """It begins as a patch does; given out, but for stars behind the end."""
    WRAPPED = "wrapped"
    """It begins as a wrapping does; held to the end."""
    OTHER = "other"
    """It is something else; given out."""


_OPENINGS: Final = {
    "*** Begin Patch\n": _State.PATCH,
    "*** Begin Patch\r\n": _State.PATCH,
    "*** Begin Patch*": _State.WRAPPED,
    "*** Begin Patch *": _State.WRAPPED,
    **dict.fromkeys(("```", "apply_patch", "<<", "{", "[", '"'), _State.WRAPPED),
}


def takes_patches(called: str, form: Mapping[str, Any]) -> bool:
    """Whether the input of a custom tool is a patch: its grammar says so, or its name where it has none."""
    grammar = form.get("definition")
    return "*** Begin Patch" in grammar if isinstance(grammar, str) else called == "apply_patch"


def bare(text: str) -> str:
    """The patch that is all of an input, without what is around it; an input that is anything else as it is."""
    if _state(text) in (_State.OPENING, _State.OTHER):
        return text
    found = _unwrapped(text, _MOST_WRAPPINGS)
    return text if found is None else found


def _unwrapped(text: str, wrappings: int) -> str | None:
    """The patch in so many wrappings at most."""
    patch = _PATCH.fullmatch(text)
    if patch is not None:
        return "".join(patch.groups()) if len(_MARKER.findall(text)) == 2 else None
    inner = next((found for take_off in _WRAPPINGS if (found := take_off(text)) is not None), None)
    return _unwrapped(inner, wrappings - 1) if inner is not None and wrappings else None


def _fenced(text: str) -> str | None:
    fence = _FENCE.fullmatch(text)
    return fence and fence[1]


def _heredoc(text: str) -> str | None:
    heredoc = _HEREDOC.fullmatch(text)
    return heredoc and heredoc[3]


def _json(text: str) -> str | None:
    """The one string of it, or the last of a command."""
    try:
        value = sole(loads(text.encode()))
    except NotJson:
        return None
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        *before, value = value
        if tuple(before) not in _COMMANDS:
            return None
    return mended(value) if isinstance(value, str) else None


_WRAPPINGS: Final[tuple[Callable[[str], str | None], ...]] = (_fenced, _heredoc, _json)


def _state(text: str) -> _State:
    """What the beginning of an input says of it, which more of it does not change."""
    head = text[:_LONGEST_OPENING].lstrip()
    for opening, state in _OPENINGS.items():
        if head.startswith(opening):
            return state
    undecided = len(text) < _LONGEST_OPENING and any(opening.startswith(head) for opening in _OPENINGS)
    return _State.OPENING if undecided else _State.OTHER


class PatchMender:
    """One input in, piece by piece, and out as `bare` has it."""

    __slots__ = ("_given", "_last", "_said", "_state", "_waiting", "mended")

    def __init__(self) -> None:
        self.mended = False
        """Something was taken off."""
        self._state = _State.OPENING
        self._said: list[str] = []
        self._given = 0
        """How many characters were given out."""
        self._last = ""
        """The end of what was said, where the end of a patch may be (PATCH)."""
        self._waiting = 0
        """How much of that is held."""

    def feed(self, text: str) -> str:
        """What this piece adds for certain."""
        self._said.append(text)
        if self._state is _State.OPENING:
            text = "".join(self._said)
            self._state = _state(text)
        match self._state:
            case _State.OPENING | _State.WRAPPED:
                return ""
            case _State.PATCH:
                text = self._before_stars(text)
            case _State.OTHER:
                pass
        self._given += len(text)
        return text

    def close(self) -> str:
        """The rest, when no more comes."""
        said = "".join(self._said)
        whole = bare(said)
        self.mended = whole != said
        return whole[self._given :]

    def _before_stars(self, text: str) -> str:
        """What was held and `text`, up to what may be stars behind the end."""
        last = self._last + text
        before = len(self._last) - self._waiting
        at = last.rfind(_END)
        after = len(last) if at < 0 else at + len(_END)
        self._waiting = len(last) - after if _AFTER_END.fullmatch(last, after) else 0
        self._last = last[-(self._waiting + len(_END)) :]
        return last[before : len(last) - self._waiting]
