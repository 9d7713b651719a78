"""`adapter convert`: the library face on standard input and output, and the middle made visible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO, cast

from adapter import translate
from adapter.dialects.intake import Intake, parsed, read_whole
from adapter.dialects.registry import DIALECTS, read_request
from adapter.errors import AdapterError
from adapter.hub.events import Event, singly
from adapter.hub.losses import Anomaly, Loss
from adapter.hub.request import DialectName, Exchange
from adapter.upstream.profiles import Profile
from adapter.wire.jsonio import dumps, loads_request

_READ: Final = 64 * 1024


def convert(
    what: str,
    source: str,
    target: str,
    profile: Profile,
    asked: Path | None,
    given: BinaryIO,
    out: BinaryIO,
    notes: TextIO,
) -> None:
    """Read one request, reply or stream from `given`, write it to `out`, its losses and anomalies to `notes`.

    Raises:
        AdapterError: what was read is not valid.
    """
    dialect = cast(DialectName, source)
    if what == "request":
        _request(dialect, target, profile, loads_request(given.read()), out, notes)
        return
    exchange = _exchange(asked, dialect, target, profile)
    if target == "hub":
        _events(what, dialect, exchange or Exchange.unasked(dialect, profile), given, out, notes)
        return
    client = cast(DialectName, target)
    if what == "reply":
        reply = translate.reply(parsed(given.read()), dialect, client, exchange=exchange, profile=profile)
        out.write(dumps(reply.value) + b"\n")
        _note(reply.losses, reply.anomalies, notes)
        return
    stream = translate.stream(_parts(given), dialect, client, exchange=exchange, profile=profile)
    for part in stream:
        out.write(part)
        out.flush()
    _note(stream.losses, stream.anomalies, notes)


def line(value: Any) -> str:
    """One JSON line, without its end."""
    return dumps(value).decode()


def _request(
    source: DialectName, target: str, profile: Profile, body: dict[str, Any], out: BinaryIO, notes: TextIO
) -> None:
    if target == "hub":
        read = read_request(source, body)
        out.write(
            dumps({"body": read.body, "carry": read.carry, "dialect": read.dialect, "stream": read.stream}) + b"\n"
        )
        _note(read.losses, [], notes)
        return
    written = translate.request(body, source, cast(DialectName, target), profile=profile)
    out.write(dumps(written.value) + b"\n")
    _note(written.losses, [], notes)


def _exchange(asked: Path | None, source: DialectName, target: str, profile: Profile) -> Exchange | None:
    """What the client's request decided, where the caller has it; the request is in the client's dialect."""
    if asked is None:
        return None
    body = loads_request(asked.read_bytes())
    client: DialectName = "chat" if "messages" in body else "responses"
    if target != "hub":
        client = cast(DialectName, target)
    return translate.request(body, client, source, profile=profile).exchange


def _events(what: str, source: DialectName, exchange: Exchange, given: BinaryIO, out: BinaryIO, notes: TextIO) -> None:
    """The hub's own events, one JSON line each."""
    dialect = DIALECTS[source]
    anomalies: list[Anomaly] = []
    losses: list[Loss] = []

    def produced() -> Iterator[list[Event]]:
        if what == "reply":
            _, events, mended = read_whole(dialect, exchange, parsed(given.read()), told=True)
            anomalies.extend(mended)
            yield events
            return
        intake = Intake(dialect, exchange)
        for part in _parts(given):
            yield intake.feed(part)
        yield intake.close()
        anomalies.extend(intake.anomalies)

    for events in produced():
        for event in singly(events):
            said = {field.name: _plain(getattr(event, field.name)) for field in fields(event)}
            losses += said.pop("losses", ())
            out.write(dumps({"event": type(event).__name__} | said))
            out.write(b"\n")
        out.flush()
    _note(losses, anomalies, notes)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return value.body()["error"] if isinstance(value, AdapterError) else value


def _parts(given: BinaryIO) -> Iterator[bytes]:
    read = getattr(given, "read1", given.read)
    while part := read(_READ):
        yield part


def _note(losses: Iterable[Loss], anomalies: Iterable[Anomaly], notes: TextIO) -> None:
    for loss in losses:
        notes.write(
            line({"loss": loss.path, "action": loss.action.value, "kind": loss.kind, "reason": loss.reason}) + "\n"
        )
    for anomaly in anomalies:
        notes.write(line({"anomaly": anomaly.kind, "detail": anomaly.detail}) + "\n")
