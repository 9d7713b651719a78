"""What an operator decides about compaction, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from adapter.errors import ConfigError


class Reply(Enum):
    """Which shape a Responses-shaped call of `/responses/compact` is answered in."""

    COMPACTION = "compaction"
    RESPONSE = "response"
    GOMODEL = "gomodel"


class Strategy(Enum):
    """How a history is made shorter: a model writes a summary, or the rules of `trim` cut it."""

    SUMMARY = "summary"
    TRIM = "trim"


class OnFailure(Enum):
    """What a summary that could not be had becomes: an error for the client, or a trimmed history."""

    ERROR = "error"
    TRIM = "trim"


class Clips(NamedTuple):
    """The most characters of one thing that the summariser is shown; the middle is left out beyond that."""

    message: int = 200_000
    """Fifty thousand tokens: a pasted log, not a conversation."""
    output: int = 8_000
    arguments: int = 8_000
    instructions: int = 2_000
    """System and developer messages are kept whole anyway; the summariser only has to know what they are about."""

    @property
    def tighter(self) -> Clips:
        """A quarter of everything the tools wrote; what people wrote stays."""
        return self._replace(output=self.output // 4, arguments=self.arguments // 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The `[compaction]` table, with what the caller knows about the upstream laid over it."""

    strategy: Strategy = Strategy.SUMMARY
    on_failure: OnFailure = OnFailure.ERROR
    reply: Reply = Reply.COMPACTION
    key_replies: tuple[tuple[str, Reply], ...] = ()
    """By the id of the caller's key; goes before `replies`."""
    replies: tuple[tuple[str, Reply], ...] = ()
    """By model pattern, before `reply`; the first that matches counts."""
    model: str | None = None
    """Who summarises; None is the model of the request."""
    window_tokens: int | None = None
    """The summariser's context window; unknown is None, and an error of the upstream then tells."""
    keep_user_tokens: int = 20_000
    """Most recent user messages that stay word for word, as many as fit whole."""
    keep_turn_tokens: int | None = None
    """Chat-shaped and in-conversation compaction: the last user turn stays whole, answers and tool exchanges included, up
    to this size where one is set (for agents that work for hours on one message; a threshold sets a quarter of itself).
    Of a longer one the user's message and the last exchange stay."""
    short_tokens: int = 4_000
    """Chat-shaped compaction: with less than this to compact, a summary would be no shorter, and nothing is done."""
    trim_tokens: int = 32_000
    """What `trim` cuts a history down to."""
    clips: Clips = field(default_factory=Clips)
    prompt: str = field(default_factory=lambda: load_prompt(None), repr=False)

    def reply_for(self, model: str, key_id: str | None = None) -> Reply:
        """The reply shape for a caller's key, else for a model, by the name that the client uses."""
        for_key = next((reply for key, reply in self.key_replies if key == key_id), None)
        return for_key or next((reply for glob, reply in self.replies if fnmatchcase(model, glob)), self.reply)

    def within(self, threshold: int) -> Options:
        """For a history that is to stay under `threshold` tokens: what stays word for word takes half of it at most."""
        turn = threshold // 4 if self.keep_turn_tokens is None else min(self.keep_turn_tokens, threshold // 4)
        return replace(
            self,
            keep_user_tokens=min(self.keep_user_tokens, threshold // 4),
            keep_turn_tokens=turn,
            trim_tokens=min(self.trim_tokens, threshold // 2),
        )


def load_prompt(path: Path | None) -> str:
    """The summariser's instructions: the file at `path`, or the one in the package.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8, or is empty.
    """
    if path is None:
        return _packaged_prompt()
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, ValueError) as refused:  # no file, no UTF-8, no name of a file
        raise ConfigError(f"compaction.prompt: {path} cannot be read: {refused}") from None
    if not text:
        raise ConfigError(f"compaction.prompt: {path} is empty")
    return text


@cache
def _packaged_prompt() -> str:
    return files("adapter.compaction").joinpath("prompt.md").read_text("utf-8").strip()
