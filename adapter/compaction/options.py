"""What an operator decides about compaction: the table as it is written, and as the one value that compaction goes by."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from adapter.errors import ConfigError
from adapter.kinds import Count, PositiveInt, Section

Reply: TypeAlias = Literal["compaction", "response", "gomodel"]
"""Which shape a Responses-shaped call of `/responses/compact` is answered in."""
REPLIES: Final[tuple[Reply, ...]] = get_args(Reply)


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


@dataclass(frozen=True, slots=True)
class Compaction(Section):
    """`[compaction]`: how a history is made short where the upstream does not do it by itself."""

    strategy: Literal["summary", "trim"] = "summary"
    """A model's summary, or a history cut by rules, without any call."""
    on_failure: Literal["error", "trim"] = "error"
    """What a summary that could not be had becomes: an error for the client, or a history cut by rules."""
    reply: Reply = "compaction"
    """How `/responses/compact` answers: a sealed item, or a summary as text."""
    replies: dict[str, Reply] = field(default_factory=dict)
    """Model pattern -> reply, before `reply`; the first that matches counts."""
    key_replies: dict[str, Reply] = field(default_factory=dict)
    """Id of a caller's key -> reply, before `replies`."""
    model: str | None = None
    """Who summarises. None: the model of the request."""
    window: PositiveInt | None = None
    """The summariser's context window in tokens, where its upstream names none."""
    keep_user_tokens: Count = 20_000
    """Most recent user messages that stay word for word: at most a quarter of the upstream's window, where that is known."""
    keep_turn_tokens: Count | None = None
    """Up to which size the last user turn stays whole where the conversation goes on. None: whatever its size."""
    short_tokens: Count = 4_000
    """Chat-shaped: a history with less than this to compact stays as it is."""
    trim_tokens: PositiveInt = 32_000
    """What a history is cut down to by rules: at most half of the upstream's window, where that is known."""
    prompt: Path | None = None
    """A file that replaces the summariser's instructions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Compaction):
    """The table with its prompt read, and with what the caller knows about the upstream laid over it: its window, and who
    summarises there."""

    instructions: str = field(default_factory=lambda: load_prompt(None), repr=False)
    """The summariser's."""
    clips: Clips = field(default_factory=Clips)

    @classmethod
    def of(cls, section: Compaction) -> Options:
        """As the operator wrote it.

        Raises:
            ConfigError: the prompt cannot be read.
        """
        written = {one.name: getattr(section, one.name) for one in fields(section)}
        written["model"] = section.model or None  # so a variable of the environment is unset
        return cls(**written, instructions=load_prompt(section.prompt))

    def reply_for(self, model: str, key_id: str | None = None) -> Reply:
        """The reply shape for a caller's key, else for a model, by the name that the client uses."""
        if key_id in self.key_replies:
            return self.key_replies[key_id]
        return next((reply for glob, reply in self.replies.items() if fnmatchcase(model, glob)), self.reply)

    def fitting(self, window: int) -> Options:
        """For a history that a model with this window goes on from."""
        return replace(
            self,
            keep_user_tokens=min(self.keep_user_tokens, window // 4),
            trim_tokens=min(self.trim_tokens, window // 2),
        )

    def within(self, threshold: int) -> Options:
        """For a history that is to stay under `threshold` tokens: what stays word for word takes half of it at most."""
        turn = threshold // 4 if self.keep_turn_tokens is None else min(self.keep_turn_tokens, threshold // 4)
        return replace(self.fitting(threshold), keep_turn_tokens=turn)


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
