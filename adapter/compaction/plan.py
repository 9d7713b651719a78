"""Which way a compaction goes: the shape the client speaks against what the upstream can do, as one table.

Two questions decide every cell. Does this client take a blob that only the upstream can read? A reply that shows its
summary as text does not. And what does the upstream's own compaction give: a blob, a text, a finished chat answer, or
nothing? Where the two fit, the upstream compacts; everywhere else the adapter summarises over that same upstream.
"""

from __future__ import annotations

from enum import Enum

from adapter.hub.request import DialectName


class ClientShape(Enum):
    """How a client asks for a compaction and takes it."""

    COMPACTION = "compaction"
    RESPONSE = "response"
    GOMODEL = "gomodel"
    CHAT = "chat"
    TRIGGER = "trigger"
    THRESHOLD = "threshold"

    @property
    def takes_blob(self) -> bool:
        """Whether a blob that only its maker reads will do. Chat's never leaves the adapter: the same upstream goes on."""
        return self not in (ClientShape.RESPONSE, ClientShape.GOMODEL)


class UpstreamKind(Enum):
    """What an upstream does by itself: `compact` in its configuration."""

    COMPACTION = "compaction"
    RESPONSE = "response"
    CHAT = "chat"
    TRIGGER = "trigger"
    NONE = "none"


class Way(Enum):
    """How the compaction is had."""

    ENDPOINT_BLOB = "endpoint_blob"
    """The upstream's `/responses/compact`; its blob is wrapped and goes on."""
    ENDPOINT_TEXT = "endpoint_text"
    """The upstream's `/responses/compact`; its text is the summary."""
    TRIGGER_BLOB = "trigger_blob"
    """A `compaction_trigger` at the end of an ordinary request; its blob is wrapped and goes on."""
    HAND_ON = "hand_on"
    """The chat-shaped call as it is: the upstream compacts and answers in one."""
    SUMMARISE = "summarise"
    """`summarise`, over the same upstream."""


def way(client: ClientShape, upstream: UpstreamKind) -> Way:
    """The cell of the table."""
    match upstream:
        case UpstreamKind.COMPACTION:
            return Way.ENDPOINT_BLOB if client.takes_blob else Way.SUMMARISE
        case UpstreamKind.TRIGGER:
            return Way.TRIGGER_BLOB if client.takes_blob else Way.SUMMARISE
        case UpstreamKind.RESPONSE:
            return Way.ENDPOINT_TEXT
        case UpstreamKind.CHAT:
            return Way.HAND_ON if client is ClientShape.CHAT else Way.SUMMARISE
        case UpstreamKind.NONE:
            return Way.SUMMARISE


def suggested(dialect: DialectName) -> UpstreamKind:
    """What `compact = "auto"` tries first, until the upstream turns out to lack it; then it is NONE."""
    return UpstreamKind.COMPACTION if dialect == "responses" else UpstreamKind.NONE
