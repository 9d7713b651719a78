"""Header fields: what is read from a client, what goes on to an upstream, what comes back. Allow-lists both ways.

Names are lower-case bytes, as ASGI gives them. A value that goes on anywhere is checked first: the server's parser refuses
line breaks, but not other control characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from adapter import __version__
from adapter.errors import HeadersTooLarge, HostileRequest, InvalidValue
from adapter.hub.request import ClientTraits

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
Headers: TypeAlias = dict[bytes, bytes]

MAX_LINES: Final = 200
MAX_BYTES: Final = 64 * 1024
"""No client we know comes near: Codex, the chattiest, sends 20 lines in 3 kB. The parser itself has no bound."""

JSON: Final[RawHeaders] = [(b"content-type", b"application/json")]
"""Of an answer that is an object."""
TOKEN_COUNT: Final = b"x-adapter-token-count"
"""Says where a count comes from."""
IDEMPOTENCY_KEY: Final = b"idempotency-key"
_REQUEST_NAME: Final = re.compile(rb"[\x20-\x7e]{1,255}\Z")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}\Z")
_CODEX_WINDOW: Final = b"x-codex-window-id"
"""Every Codex sends it, also one that goes by the name of the program that runs it (`codex app-server`)."""
_CODEX_VERSION: Final = re.compile(rb"[^/]+/(\d+)\.(\d+)\.")
_READS_STATUSES: Final = (0, 169)
"""The first Codex that is known to act on the code of an HTTP error."""
_PLAIN: Final = re.compile(rb"[\x20-\x7e]*\Z")
_SINGLE: Final = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"content-length",
        b"content-type",
        b"transfer-encoding",
        b"host",
        IDEMPOTENCY_KEY,
    }
)

_AGENT: Final = "User-Agent"
OURS: Final = b"x-adapter-"
"""Fields that say what became of the request here begin so."""
TO_ANY_UPSTREAM: Final = (b"traceparent", b"tracestate", b"x-codex-turn-state")
CODEX_LITE: Final = b"x-openai-internal-codex-responses-lite"
"""Asks for the form of the Responses API that Codex has for itself."""
TO_CALLERS_UPSTREAM: Final = (
    b"chatgpt-account-id",
    b"openai-beta",
    b"openai-organization",
    b"openai-project",
    b"originator",
    b"session-id",
    b"session_id",
    b"thread-id",
    b"x-client-request-id",
    b"x-codex-beta-features",
    b"x-codex-turn-metadata",
    b"x-codex-window-id",
    CODEX_LITE,
)
"""Fields that choose an account's organisation or a client's features: they go on only where the caller's own key does."""

_OF_WINDOWS: Final = ("used-percent", "window-minutes", "reset-at", "reset-after-seconds")
OF_LIMITS: Final = (b"x-ratelimit-", b"x-codex-primary-", b"x-codex-secondary-", b"x-codex-credits-")
"""What the names of fields begin with that say where an account stands."""
FROM_UPSTREAM: Final = frozenset(
    {
        "openai-processing-ms",
        "openai-version",
        "retry-after",
        "retry-after-ms",
        "x-codex-turn-state",
        "x-ratelimit-limit-requests",
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-requests",
        "x-ratelimit-reset-tokens",
        "x-should-retry",
        *(f"x-codex-{which}-{what}" for which in ("primary", "secondary") for what in _OF_WINDOWS),
        *("x-codex-credits-has-credits", "x-codex-credits-unlimited", "x-codex-credits-balance"),
    }
)
"""Never `openai-model` (Codex takes it for a rerouting), never `set-cookie`, never `x-request-id` (ours is returned)."""


def check_fields(raw: RawHeaders, headers: Headers) -> None:
    """Look over the fields of one request, as they came and as a dict.

    Raises:
        HeadersTooLarge: more lines or bytes than `MAX_LINES`, `MAX_BYTES`.
        HostileRequest: a field that must be single is given twice with different values, or the body has two framings.
    """
    if len(headers) != len(raw):
        _check_repeated(raw, headers)
    if len(raw) > MAX_LINES or sum([len(name) + len(value) for name, value in raw]) > MAX_BYTES:
        raise head_too_large()
    if b"transfer-encoding" in headers and b"content-length" in headers:
        raise HostileRequest("The request has both Content-Length and Transfer-Encoding.")


def head_too_large() -> HeadersTooLarge:
    """For a request with more than `MAX_LINES`, or `MAX_BYTES`, before its body."""
    return HeadersTooLarge("The request has more or longer header fields than this server takes.")


def _check_repeated(raw: RawHeaders, headers: Headers) -> None:
    for name, value in raw:
        if name in _SINGLE and headers[name] != value:
            raise HostileRequest(f"The header field {name.decode('latin-1')} is given twice with different values.")


def credential(headers: Mapping[bytes, bytes]) -> str | None:
    """The caller's key, from `Authorization` (with or without `Bearer`), `x-api-key` or `api-key` (Azure's clients); None without
    one.

    Raises:
        HostileRequest: several are given and differ, or the key holds characters that no key has.
    """
    key = headers.get(b"authorization", b"").strip()
    scheme, _, rest = key.partition(b" ")
    if rest and scheme.lower() == b"bearer":
        key = rest.strip()
    for other in (headers.get(b"x-api-key"), headers.get(b"api-key")):
        if other and (other := other.strip()):
            if key and key != other:
                raise HostileRequest("Authorization, x-api-key and api-key carry different keys; send one of them.")
            key = other
    if not key:
        return None
    if _PLAIN.match(key) is None:
        raise HostileRequest("The API key holds characters that no header may carry.")
    return key.decode("ascii")


def request_id(headers: Mapping[bytes, bytes]) -> str | None:
    """The client's `x-request-id` where it is well-formed."""
    given = headers.get(b"x-request-id")
    return given.decode("ascii") if given is not None and _REQUEST_ID.match(given) else None


def idempotency_key(headers: Mapping[bytes, bytes]) -> bytes:
    """How the client names its request, where it does.

    Raises:
        InvalidValue: empty, too long, or not in printable ASCII.
    """
    key = headers[IDEMPOTENCY_KEY]
    if _REQUEST_NAME.match(key) is None:
        raise InvalidValue("Idempotency-Key must be 1 to 255 printable ASCII characters.")
    return key


def client_traits(headers: Mapping[bytes, bytes]) -> ClientTraits:
    """What kind of client asks; decided here once and carried along."""
    agent = headers.get(b"user-agent", b"")
    named = agent.startswith(b"codex") or headers.get(b"originator", b"").startswith(b"codex")
    if not named and _CODEX_WINDOW not in headers:
        return ClientTraits.GENERIC
    version = _CODEX_VERSION.match(agent)
    if version is None:  # the sockets of early ones name no agent, but write this field otherwise than later ones
        early = b"session_id" in headers
    else:
        early = (int(version[1]), int(version[2])) < _READS_STATUSES
    return ClientTraits.CODEX_EARLY if early else ClientTraits.CODEX


def onward(headers: Mapping[bytes, bytes], names: Iterable[bytes]) -> dict[str, str]:
    """The fields among `names` that the client sent, fit to be sent on."""
    if headers.keys().isdisjoint(names):
        return {}
    return {
        name.decode("ascii"): value.decode("ascii")
        for name in names
        if (value := headers.get(name)) is not None and _PLAIN.match(value)
    }


def lines(own: Mapping[str, str]) -> str:
    """The head of every request to a server: who we are, unless its `own` fields say that, and those."""
    known = _AGENT.lower() in map(str.lower, own)
    fields = own if known else {_AGENT: f"responses-chat-adapter/{__version__}", **own}
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items())


def returned(headers: Mapping[str, str]) -> RawHeaders:
    """The fields of an upstream's answer that its client gets."""
    found: RawHeaders = []
    for name, value in headers.items():
        lowered = name.lower()
        if lowered in FROM_UPSTREAM and value.isascii() and value.isprintable():
            found.append((lowered.encode("ascii"), value.encode("ascii")))
    return found
