"""The sections of the configuration, as they are written. What holds between them is for `adapter.config` to check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes
from typing import Annotated, Any, Final, Literal

from adapter.access.groups import Group
from adapter.access.sections import EVERYONE, KeySection, LimitStore
from adapter.codex import Codex
from adapter.compaction.options import Compaction
from adapter.compaction.sealing import SECRET_BYTES, KeyRing
from adapter.hub.losses import Policy
from adapter.hub.request import DialectName
from adapter.kinds import Bounds, Count, Globs, PositiveFloat, PositiveInt, Secret, Section
from adapter.upstream.profiles import Profile, profile

Port = Annotated[int, Bounds(ge=0, le=65535)]

ENV_PREFIX: Final = "ADAPTER_"
"""What the names of environment variables begin with that say something of these."""
MIB: Final = 1024 * 1024
_COMPACTION: Final = Compaction()
_LIMITS: Final = LimitStore()


@dataclass(frozen=True, slots=True)
class Server(Section):
    """`[server]`: the side that clients see."""

    host: str = "127.0.0.1"
    """The address that is listened on; `0.0.0.0` is all of this machine's."""
    port: Port = 8080
    """0: any that is free."""
    workers: PositiveInt = 1
    """Processes that serve."""
    losses: Policy = "report"
    """What happens when something of a request cannot be carried: a header, a 400, or nothing."""
    usage: Literal["estimate", "omit"] = "estimate"
    """Usage that an upstream does not report."""
    commit_after: PositiveFloat = 20
    """Seconds after which the status is sent although the upstream has not answered."""
    keepalive: PositiveFloat = 15
    """Seconds of silence toward the client after which a keep-alive is sent."""
    ping_after: PositiveFloat = 60
    """Seconds without a data event after which Codex gets one that means nothing."""
    settle_within: PositiveFloat = 5
    """Seconds that a complete answer waits for its usage."""
    body_limit: PositiveInt = 64 * MIB
    """Bytes that a request may have; a larger one gets a 413."""
    body_timeout: PositiveFloat = 30
    """Seconds a client has to send its body; every 64 KiB received add one."""
    write_timeout: PositiveFloat = 60
    """Seconds that a client may leave unread what it is sent."""
    reply_limit: PositiveInt = 64 * MIB
    """Bytes that the plain reply of an upstream may have."""
    idle_connection: PositiveInt = 75
    """Seconds that a client's connection is kept without a request: longer than SDKs keep theirs, so that they find none closed. Say
    more behind a load balancer that keeps them for longer (Google's: 600)."""
    drain_delay: Annotated[float, Bounds(ge=0)] = 0
    """Seconds between turning not ready and closing the listener, for load balancers that poll."""
    drain_timeout: PositiveFloat = 30
    """Seconds that running answers have to finish after SIGTERM."""
    websocket: bool = True
    """Responses over a WebSocket. False answers the handshake with 426."""
    websocket_limit: PositiveFloat = 3600
    """Seconds after which a connection is closed; the running answer is finished first."""
    websocket_history: PositiveInt = 64 * MIB
    """Bytes of its own conversation that a connection remembers. A client that refers to more is told to send it."""
    websocket_connections: PositiveInt = 1000
    """Connections that a caller may have at once, in one worker."""
    cors_origins: tuple[str, ...] = ()
    """Origins of web pages whose scripts may ask and read (`https://chat.example`); `*` for all. Empty: pages may not."""
    open: bool = False
    """Anyone may ask although other machines reach the port and there are no keys; `serve --open`."""
    access_log: bool = True
    """A JSON line for each request."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged beside these."""


@dataclass(frozen=True, slots=True)
class Upstream(Section):
    """One of `[[upstreams]]`: a model server."""

    name: str
    """For logs, metrics, groups and routing hints."""
    base_url: str = field(repr=False)
    """What stands before `/chat/completions` or `/responses`; its query goes with every call. Perhaps written as a secret is."""
    dialect: DialectName
    """The API that it speaks."""
    api_key: Secret | None = None
    """None, or written `client`: the caller's own key goes on. Written `none`, and held empty: no key is sent."""
    api_keys: tuple[Secret, ...] = ()
    """Several: a conversation stays with one of them, and another one takes over where that one is refused or limited."""
    headers: dict[str, Secret] = field(default_factory=dict)
    """Fields that its requests get, in place of the client's of the same name."""
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Members that the bodies of its turns get where the client says nothing of them; tables key by key."""
    proxy: Secret | None = None
    """The HTTP proxy on the way to it, `http://user:password@host:port`; `"$HTTPS_PROXY"` is that of the environment."""
    weight: PositiveFloat = 1
    """Its part of the conversations, among upstreams of the same priority."""
    priority: Count = 0
    """A lower number goes first; the others are for when all of those fail."""
    max_concurrency: PositiveInt | None = None
    """Requests that may run there at once, in one worker: a slow upstream must not eat the others."""
    profile: str = "generic"
    """What kind of server it is: capabilities that have a name."""
    models: Globs = ("*",)
    """Glob patterns over the names of the models that it serves."""
    aliases: dict[str, str] = field(default_factory=dict)
    """A name that clients use, or a pattern of such names -> the one that the upstream knows the model by. A name goes before patterns,
    and these in their order."""
    capabilities: dict[str, Any] = field(default_factory=dict)
    """What it can and cannot do, where that is not as its profile says. Defaults are those of the profile `generic`."""
    connect_timeout: PositiveFloat = 10
    """Seconds to make a connection."""
    first_byte_timeout: PositiveFloat = 300
    """Seconds until its answer begins."""
    idle_timeout: PositiveFloat = 300
    """Seconds between data; comments and whitespace are no data."""
    total_timeout: PositiveFloat | None = None
    """Seconds for a whole answer."""
    compact: Literal["auto", "compaction", "response", "chat", "trigger", "none"] = "auto"
    """How it compacts by itself: an endpoint that answers with a blob, with text, or chat-shaped; a trigger item; not at
    all. `auto` tries what the dialect suggests and remembers what is not there."""
    window: PositiveInt | None = None
    """Its context window in tokens, for summaries. None: unknown."""
    codex: tuple[Codex, ...] = ()

    @property
    def keys(self) -> tuple[Secret, ...] | None:
        """All of its keys; None: the caller's own."""
        return self.api_keys or (None if self.api_key is None else (self.api_key,))

    def resolved_profile(self) -> Profile:
        """The named profile with the capabilities laid over it.

        Raises:
            ConfigError: an unknown profile, capability or value.
        """
        return profile(self.profile, self.capabilities)


@dataclass(frozen=True, slots=True)
class Sealing(Section):
    """`[sealing]`: the keys of what clients carry for us in `encrypted_content`."""

    keys: tuple[Secret, ...] = ()
    """Base64 of 32 bytes each; the first seals, all open. Empty: a generated key, kept in the user's state directory."""
    accept_default: bool = False
    """What was sealed before there were callers' keys still opens."""

    def ring(self) -> KeyRing:
        """The keys, ready for use; without any, one that lives and dies with this process.

        Raises:
            ConfigError: one is not base64 of 32 bytes.
        """
        keys = [key.get_secret_value() for key in self.keys]
        if not keys:
            return KeyRing([token_bytes(SECRET_BYTES)], accept_default=self.accept_default)
        return KeyRing.from_base64(keys, accept_default=self.accept_default)


@dataclass(frozen=True, slots=True)
class Metrics(Section):
    """`[metrics]`: a listener of its own, not for clients."""

    host: str = "127.0.0.1"
    """The address that is listened on."""
    port: Port | None = None
    """None: there are no metrics."""


@dataclass(frozen=True, slots=True)
class Store(Section):
    """`[store]`: responses, conversations and chat completions that clients want kept."""

    mode: Literal["off", "client", "always"] = "client"
    """Nothing; what the client asks for (the APIs' own defaults count); everything."""
    url: Secret | None = None
    """`sqlite:////path` or `postgresql://…`, perhaps as a secret is written; None: a SQLite file in the user's state directory."""
    ttl: Count = 30 * 86_400
    """Seconds that responses and chat completions are kept; 0 for ever. Conversations stay until they are deleted."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration, an immutable snapshot."""

    server: Server = Server()
    compaction: Compaction = _COMPACTION
    sealing: Sealing = Sealing()
    store: Store = Store()
    upstreams: tuple[Upstream, ...] = ()
    keys: tuple[KeySection, ...] = ()
    groups: tuple[Group, ...] = ()
    limits: LimitStore = _LIMITS
    metrics: Metrics = Metrics()
    keys_file: Path | None = None
    """Where `adapter keys` writes. None: `keys.toml` beside the configuration, or, once that is known, that there is none."""
    written: frozenset[str] = frozenset()
    """Which of the above somebody wrote; what is not among them has its defaults."""

    @property
    def keyed(self) -> bool:
        """Callers must have a key. A `keys.toml` without any keys lets nobody in: the last one was revoked. Nor does one that was
        there when the settings were checked and no longer is."""
        return bool(self.keys) or self.keys_file is not None

    @property
    def access_groups(self) -> tuple[Group, ...]:
        """The groups there are; without any, the one that reaches everything."""
        return self.groups or (Group(name=EVERYONE),)


def in_environment(environ: Iterable[str]) -> bool:
    """Whether one of these names may say something of the sections."""
    return any(name.upper().startswith(ENV_PREFIX) for name in environ)
