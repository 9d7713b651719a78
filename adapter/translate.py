"""The library face: translate a request, a plain reply or a stream between the two dialects. Pure; no server needed.

    from adapter import translate

    asked = translate.request(body, "responses", "chat")           # a Responses body for a Chat upstream
    answer = translate.reply(reply, "chat", "responses", exchange=asked.exchange)

`source` is the dialect the data is in, `target` the one wanted. Equal dialects go through the hub as well: this face never
takes the raw lane, so it also serves to see what the hub keeps.

Bodies are JSON values, as a parser gives them; they are not changed, and what comes back may share parts with them. An
exchange is read only: any number of answers, in any thread, may be read by the same one. A name of a dialect or a kind of
client that is none raises `adapter.errors.InvalidValue`, that of a profile `adapter.errors.ConfigError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

from adapter.dialects.base import Dialect, StreamWriter
from adapter.dialects.intake import Intake, read_whole
from adapter.dialects.registry import DIALECTS, read_request
from adapter.errors import InvalidType, InvalidValue
from adapter.hub.losses import Action, Anomaly, Loss
from adapter.hub.request import ClientTraits, Clock, DialectName, Exchange, Ids, derived_token, no_clock
from adapter.upstream.profiles import Profile
from adapter.upstream.profiles import profile as named_profile


class Translated(NamedTuple):
    """A request or reply in the other dialect."""

    value: dict[str, Any]
    """The body in the target dialect."""
    losses: list[Loss]
    """What could not be carried."""
    exchange: Exchange
    """What the request decided about how its answer is read; hand it to `reply` or `stream`."""
    anomalies: list[Anomaly]
    """What of a reply was against its own API and was mended; empty for requests."""


def request(
    body: dict[str, Any],
    source: DialectName,
    target: DialectName,
    *,
    profile: str | Profile = "generic",
    client: str = "generic",
    ids: Ids | None = None,
    clock: Clock | None = None,
) -> Translated:
    """A client's request body in `source` as the body for an upstream that speaks `target`.

    `profile` names the kind of upstream (`adapter.upstream.profiles`), `client` the kind of client (`generic`, `codex`,
    `codex_early`).
    One call gives one choice: a Chat client's `n` is never sent, and where it is more than 1 that is a loss.
    `ids` and `clock` are taken for symmetry; a request never holds random ids or times.

    Raises:
        adapter.errors.BadRequest: what is wrong with the body, with `param`.
    """
    _, writes = _both(source, target)
    read = read_request(source, _object(body), _traits(client))
    written = writes.write_request(read, _profile(profile))
    losses = read.losses + written.losses
    if read.carry.get("n", 1) > 1:
        losses.append(_ONE_CHOICE)
    return Translated(written.body, losses, written.exchange, [])


def reply(
    body: dict[str, Any],
    source: DialectName,
    target: DialectName,
    *,
    exchange: Exchange | None = None,
    profile: str | Profile = "generic",
    client: str = "generic",
    ids: Ids | None = None,
    clock: Clock | None = None,
) -> Translated:
    """An upstream's plain reply in `source` as the reply for a client that speaks `target`.

    `exchange` is the one of the request; without it the reply is read as that of an empty request. `ids` turns the
    upstream's answer id into the token of ours and `clock` gives whole seconds; by default ids derive from the source's
    own, so that equal input gives equal output.

    Raises:
        adapter.errors.UpstreamError: the body is not an answer of `source`, or one that failed.
    """
    reads, writes = _both(source, target)
    exchange = exchange or _unasked(target, profile, client)
    answer, _, anomalies = read_whole(reads, exchange, body, ids=ids or derived_token, clock=clock or no_clock)
    if answer.error is not None:
        raise answer.error
    losses = writes.unsaid([answer], exchange)
    return Translated(writes.write_reply([answer], exchange), losses, exchange, anomalies)


class TranslatedStream(Iterator[bytes]):
    """SSE bytes in the target dialect; ends after exactly one terminal event."""

    def __init__(self, parts: Iterable[bytes], intake: Intake, writer: StreamWriter) -> None:
        self._intake = intake
        self._writer = writer
        self._output = self._run(iter(parts))

    @property
    def losses(self) -> list[Loss]:
        """What of the answer the target dialect cannot say, so far."""
        return self._writer.losses

    @property
    def anomalies(self) -> list[Anomaly]:
        """What the source did against its own API, so far."""
        return self._intake.anomalies

    def __next__(self) -> bytes:
        return next(self._output)

    def __iter__(self) -> Iterator[bytes]:
        return self._output

    def _run(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        intake, write = self._intake, self._writer.write
        for part in parts:
            data = write(intake.feed(part))
            if data:
                yield data
            if intake.ended:
                return
        data = write(intake.close())
        if data:
            yield data


def stream(
    parts: Iterable[bytes],
    source: DialectName,
    target: DialectName,
    *,
    exchange: Exchange | None = None,
    profile: str | Profile = "generic",
    client: str = "generic",
    ids: Ids | None = None,
    clock: Clock | None = None,
) -> TranslatedStream:
    """Raw SSE in `source`, in any cut, as SSE in `target`: one output part for every input part that completes an event.

    `exchange`, `ids` and `clock` as for `reply`. Never raises for what the bytes hold: a broken source becomes the target's
    failure event. What `parts` itself raises goes through, and the output has no end then.

    Raises:
        adapter.errors.InvalidType: `parts` is one part instead of an iterable of them.
    """
    reads, writes = _both(source, target)
    if isinstance(parts, (bytes, bytearray, memoryview, str)):
        raise InvalidType("parts must be an iterable of bytes: [part] for a stream in one part.", param="parts")
    exchange = exchange or _unasked(target, profile, client)
    intake = Intake(reads, exchange, ids=ids or derived_token, clock=clock or no_clock)
    return TranslatedStream(parts, intake, writes.stream_writer(_of_one(exchange), clock=clock or no_clock))


@lru_cache(maxsize=64)  # nobody changes an exchange, and to make one is an eighth of what a plain reply takes
def _unasked(target: DialectName, profile: str | Profile, client: str) -> Exchange:
    return Exchange.unasked(target, _profile(profile), _traits(client))


_ONE_CHOICE: Final = Loss("n", Action.DROPPED, "n", "One call gives one choice: make as many as are wanted.")


def _of_one(exchange: Exchange) -> Exchange:
    """One source stream is one answer, whatever `n` the client asked for."""
    request = exchange.request
    if request.carry.get("n", 1) == 1:
        return exchange
    return replace(exchange, request=replace(request, carry={**request.carry, "n": 1}))


def _both(source: DialectName, target: DialectName) -> tuple[Dialect, Dialect]:
    try:
        return DIALECTS[source], DIALECTS[target]
    except KeyError:
        param, given = ("source", source) if source not in DIALECTS else ("target", target)
        raise InvalidValue(f"{param} must be one of {', '.join(DIALECTS)}, not {given!r}.", param=param) from None


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise InvalidType("The request body must be a JSON object.")
    return body


def _profile(profile: str | Profile) -> Profile:
    return named_profile(profile) if isinstance(profile, str) else profile


def _traits(client: str) -> ClientTraits:
    if client == "generic":  # the default: an enum's own look-up is a twentieth of a small request
        return ClientTraits.GENERIC
    try:
        return ClientTraits(client)
    except ValueError:
        raise InvalidValue(
            f"client must be one of {', '.join(t.value for t in ClientTraits)}.", param="client"
        ) from None
