"""What the laws ask of a dialect. Whoever implements it may rely on shapes: an answer without them is read no further."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Final, NamedTuple

from adapter.conform.laws import Name
from adapter.conform.live.shapes import WORD, Wanted
from adapter.conform.report import quoted
from adapter.hub.grammar import framing
from adapter.hub.grammar.violation import Violation
from adapter.wire import jsonio
from adapter.wire.sse import BOM

ERROR: Final[Wanted] = {"error": {"message": WORD, "type": str, "param?": (None, str), "code?": (None, str, int)}}
"""The body of every refusal, in both dialects. The file has no codes that are numbers, and every client takes them."""
TOKEN: Final[Wanted] = {"token": str, "logprob": float, "bytes?": (None, [int]), "top_logprobs?": (None, [dict])}
"""What is told of a token's probability, in both dialects."""


class Call(NamedTuple):
    """A tool call of an answer."""

    id: str
    name: str
    """As `qualified`."""
    arguments: str | None
    """JSON; None for the free text of a custom tool."""


def qualified(namespace: str, name: str) -> str:
    """The name of a tool with its namespace, if it has one; no other tool can be called so."""
    return f"{namespace}/{name}" if namespace else name


class Usage(NamedTuple):
    """What an answer counts."""

    input: int
    output: int
    total: int


class Dialect(ABC):
    """One of the two APIs, as its answers are read."""

    name: ClassVar[Name]
    path: ClassVar[str]
    """Behind the base URL."""
    usage_shape: ClassVar[Wanted]
    counts: ClassVar[tuple[str, str, str]]
    """How its usage calls what went in, what came out, and both."""
    good_ends: ClassVar[tuple[str, ...]]
    """How a stream ends that answers its request."""
    limit_keys: ClassVar[tuple[str, ...]]
    """The names of the parameter that bounds an answer's tokens, the best one first."""

    end_rules: ClassVar[tuple[str, ...]]
    """Rules of the grammar about how often a stream ends, of which `ends` tells."""

    @abstractmethod
    def checker(self, body: dict[str, Any]) -> framing.Checker:
        """The grammar of the stream that answers a request."""

    @abstractmethod
    def shape(self, body: dict[str, Any]) -> Wanted:
        """A finished answer to a request, but for its usage."""

    @abstractmethod
    def events(self, body: dict[str, Any], raw: bytes) -> Iterator[tuple[str, Any, Wanted]]:
        """What a stream's events hold beside the answer that they add up to: the place, the object, its shape."""

    @abstractmethod
    def ends(self, raw: bytes) -> list[str]:
        """Everything in a stream that says that it is over."""

    @abstractmethod
    def folded(self, raw: bytes) -> dict[str, Any]:
        """The plain answer that a grammatical stream adds up to."""

    @abstractmethod
    def usage_problem(self, body: dict[str, Any], raw: bytes) -> str:
        """What is wrong with where a stream tells its usage; nothing where it is right."""

    @abstractmethod
    def finish_problems(self, body: dict[str, Any], value: dict[str, Any]) -> list[str]:
        """Where what an answer says about its end contradicts what it holds."""

    @abstractmethod
    def cut(self, value: dict[str, Any]) -> bool:
        """The answer says that it is not whole."""

    @abstractmethod
    def cut_by_limit(self, value: dict[str, Any]) -> bool:
        """It says that its limit is the reason."""

    @abstractmethod
    def silent(self, value: dict[str, Any]) -> bool:
        """Nothing is said, called or thought in it."""

    @abstractmethod
    def logprobs(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        """What an answer tells of the tokens of its text."""

    @abstractmethod
    def echoes(self, body: dict[str, Any], value: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
        """Where an answer says of its request what was not asked: the field, what was asked, what it says."""

    @abstractmethod
    def calls(self, value: dict[str, Any]) -> list[Call]:
        """Its tool calls."""

    @abstractmethod
    def text(self, value: dict[str, Any]) -> str:
        """Its text, without refusals."""

    @abstractmethod
    def item_ids(self, value: dict[str, Any]) -> list[str]:
        """The ids of what it is made of, without those by which results name their calls."""

    @abstractmethod
    def schema(self, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON schema that a request asks to be filled."""

    @abstractmethod
    def with_results(self, body: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
        """The request that sends the results of an answer's calls back."""

    def grammar(self, body: dict[str, Any], raw: bytes) -> list[str]:
        """What a stream breaks of the grammar: each rule at the first event that breaks it, and whether others do, since
        servers err in all their events alike."""
        frames, broken = framing.framed(raw)
        found = [(violation, b"") for violation in broken]
        if raw.startswith(BOM):
            bom = Violation(
                "sse.bom", "byte 0", "the stream begins with a byte order mark; the SDKs lose its first event"
            )
            found.append((bom, b""))
        checker = self.checker(body)
        for place, (name, data) in enumerate(frames):
            found += [(violation, data) for violation in checker.feed_frame(name, data)]
            if _holds_half_a_character(data):
                half = Violation("json.half", f"frame[{place}]", "a string holds half a character, which is no Unicode")
                found.append((half, data))
        by_rule: dict[str, list[tuple[Violation, bytes]]] = {}
        for violation, data in [*found, *((violation, b"") for violation in checker.end())]:
            if violation.code not in self.end_rules:
                by_rule.setdefault(violation.code, []).append((violation, data))
        return [_told(*first, more=bool(more)) for first, *more in by_rule.values()]

    def limit(self, body: dict[str, Any]) -> int | None:
        """Most tokens that a request lets its answer take, if it says so."""
        return next((body[key] for key in self.limit_keys if key in body), None)

    def usage(self, value: dict[str, Any]) -> Usage:
        """What an answer counts."""
        counts = value["usage"]
        return Usage(*(counts[key] for key in self.counts))

    def usage_details(self, value: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
        """What of its tokens are of a kind: the kind, how many, of how many."""
        for key in self.counts[:2]:
            details = value["usage"].get(f"{key}_details")
            for kind, count in (details if isinstance(details, dict) else {}).items():
                if kind.endswith("_tokens") and isinstance(count, int):
                    yield f"{key}_details.{kind}", count, value["usage"][key]


def _told(violation: Violation, data: bytes, *, more: bool) -> str:
    text = f"{violation} (and later ones)" if more else str(violation)
    return f"{text}: {quoted(data)}" if data else text


def _holds_half_a_character(data: bytes) -> bool:
    """As a server says that cuts its text between two UTF-16 units: the SDKs hand it on, and it fails where it is written."""
    try:
        json.dumps(jsonio.loads(data), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except jsonio.NotJson:
        pass
    return False
