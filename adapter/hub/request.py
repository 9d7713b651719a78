"""A request in the middle, and what is remembered of it for reading the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypedDict

from adapter.hub.events import Item
from adapter.hub.forms import Form, forms
from adapter.hub.losses import Loss
from adapter.upstream.profiles import GENERIC, Profile

DialectName = Literal["chat", "responses"]


class ClientTraits(Enum):
    """What kind of client asks, where that changes an answer. Chosen once at the edge; nothing else sniffs headers."""

    GENERIC = "generic"
    CODEX = "codex"
    CODEX_EARLY = "codex_early"
    """Codex that reads only inside a stream what an error means: 0.120 does, 0.169 does not any more."""

    def __init__(self, name: str) -> None:
        # plain attributes: as properties they take ten times as long, and every request asks
        self.codex = name != "generic"
        """Any Codex."""
        self.shows_refusals = not self.codex
        """Codex drops a message whose part is a `refusal`: it gets the text as `output_text` instead."""


class Carry(TypedDict, total=False):
    """What only Chat Completions can say, under its Chat name. Any upstream that knows a key gets it."""

    stop: list[str]
    n: int
    seed: int
    presence_penalty: float
    frequency_penalty: float
    logit_bias: dict[str, Any]
    prediction: dict[str, Any]
    functions: bool
    """The client used the deprecated `functions`/`function_call` pair and must be answered in it."""
    flat: bool
    """The client offered tools as Responses has them, and must be told calls of custom tools as those of functions."""


Seen: TypeAlias = tuple[list[Item], Sequence[int], list[Form | None] | None]
"""A list of items, where in it those are that are not plain, and the forms of all where the reader has looked for them. It says
nothing of any other list.

Plain is a message of nothing but text, a function call, and the output of one in nothing but text. Of a Chat client such a
text is a string, and the call id is of a length that every server takes.
"""


@dataclass(slots=True)
class Request:
    """One request in the form that the hub speaks: a Responses body whose `input` is always a list of items."""

    body: dict[str, Any]
    """Responses-shaped request. `model` is a non-empty string and `input` a list of items with explicit `type`;
    `tools`, `tool_choice`, `text`, `reasoning`, … as the client said them, in Responses shape. Keys that neither API
    knows stay here under their own name; the writer of the other dialect reports them as losses."""
    dialect: DialectName = "responses"
    """What the client spoke."""
    carry: Carry = field(default_factory=Carry)
    stream: bool = False
    include_usage: bool = False
    """Chat clients: `stream_options.include_usage`."""
    client: ClientTraits = ClientTraits.GENERIC
    losses: list[Loss] = field(default_factory=list)
    """What reading already could not carry into the hub (a video, say)."""
    limit_name: str = "max_output_tokens"
    """What the client called its token limit, for losses: the one setting with three names."""
    seen: Seen | None = None
    """What its reader saw of the items in passing."""
    search: dict[str, Any] | None = None
    """Chat clients: the one of the tools that stands for `web_search_options`, for losses."""
    previous: str | None = None
    """The response that it goes on from, where the items begin with all that was said up to there: to be told to the
    client, and no business of the upstream's."""

    @property
    def model(self) -> str:
        model: str = self.body["model"]
        return model

    @property
    def items(self) -> list[Item]:
        items: list[Item] = self.body["input"]
        return items

    @property
    def others(self) -> Sequence[int]:
        """Where the items are that are not plain (`Seen`); all of them where nobody has said. A long history is nearly all
        plain: to look at the others only saves each writer a walk through it."""
        items = self.body["input"]
        seen = self.seen
        return seen[1] if seen is not None and seen[0] is items else range(len(items))

    @property
    def forms(self) -> list[Form | None]:
        """The form of each item, as the reader saw it or as it is seen now."""
        items = self.body["input"]
        seen = self.seen
        found = seen[2] if seen is not None and seen[0] is items else None
        return forms(items)[0] if found is None else found

    def to_model(self, model: str) -> Request:
        """The same request, for the model of that name."""
        return Request(
            {**self.body, "model": model},
            self.dialect,
            self.carry,
            self.stream,
            self.include_usage,
            self.client,
            self.losses,
            self.limit_name,
            self.seen,
            self.search,
            self.previous,
        )


class ToolKind(Enum):
    """What the client offered, and so what kind of call item it must get back."""

    FUNCTION = "function"
    CUSTOM = "custom"
    TOOL_SEARCH = "tool_search"
    LOCAL_SHELL = "local_shell"
    SHELL = "shell"
    APPLY_PATCH = "apply_patch"


class ToolRef(NamedTuple):
    """The client's own tool behind a name on the upstream's wire."""

    kind: ToolKind
    name: str
    namespace: str | None = None
    beside: bool = False
    """Its calls may run on while the conversation does (`async`)."""
    found: dict[str, Any] | None = None
    """What a search for it tells, to be told before its first call: it is deferred, and the server was to search."""
    patch: bool = False
    """A custom tool whose input is a patch, to a server that does not know: what a model puts around one is taken off."""
    plain: bool = False
    """An argument of it was to be encrypted, to a server that encrypts none: the client is told so with each call."""


Tools: TypeAlias = Mapping[str, ToolRef]


@dataclass(slots=True)
class Exchange:
    """What the request decided about how its answer is read and written. Made by `write_request`; no global tables.

    Nobody changes it once it is made, but for `answered`. It is not frozen because it is made for every request, and that
    would double the time; so do keywords.
    """

    request: Request
    profile: Profile = GENERIC
    tools: Tools = field(default_factory=dict)
    """Wire name -> the client's tool, for every name that was flattened, hashed or sent as another kind, and for what runs
    beside the conversation. A name that is absent is a function of that very name."""
    stop: tuple[str, ...] = ()
    """Stop sequences that the upstream does not know and `hub.stop` cuts at."""

    def answered(self) -> None:
        """The answer has begun: nobody asks again, and a stream may run for an hour. The conversation, which may be megabytes, is
        nothing that an answer is read or written by."""
        request = self.request
        request.body["messages" if "messages" in request.body else "input"] = []
        request.seen = None

    @classmethod
    def unasked(
        cls, dialect: DialectName, profile: Profile = GENERIC, client: ClientTraits = ClientTraits.GENERIC
    ) -> Exchange:
        """For an answer whose request nobody has: a recorded reply or stream."""
        request = Request({"model": "", "input": []}, dialect=dialect, client=client, include_usage=True)
        return cls(request=request, profile=profile)


@dataclass(slots=True)
class Written:
    """An upstream's request body, what was lost on the way, and how to read the answer; not frozen, as `Exchange`."""

    body: dict[str, Any]
    exchange: Exchange
    losses: list[Loss]


Ids: TypeAlias = Callable[[str], str]
"""From the upstream's own answer id (`chatcmpl-…`, `resp_…`, or "") to the token of ours: every id of one answer is a
prefix plus this token (`resp_<token>`, `msg_<token>_0`, `chatcmpl-<token>`)."""

Clock: TypeAlias = Callable[[], int]
"""Whole Unix seconds."""


def derived_token(source: str) -> str:
    """The default `Ids`: the source id without its prefix, so that equal input gives equal output."""
    for prefix in ("resp_", "chatcmpl-", "resp-"):
        token = source.removeprefix(prefix)
        if token is not source:
            break
    if not (token.isascii() and token.isalnum()):
        token = _NOT_IN_TOKENS.sub("", token)
    return token[:48] or "0"


_NOT_IN_TOKENS: Final = re.compile(r"[^A-Za-z0-9_-]+")


def no_clock() -> int:
    """The default `Clock`: the epoch; answers that carry no time of their own then say 0."""
    return 0
