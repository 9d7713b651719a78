"""Who asks. Admission makes a `Caller`; everything behind it takes it along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from adapter.wire.headers import Headers


@dataclass(frozen=True, slots=True)
class Caller:
    """An admitted caller."""

    tenant: str = "default"
    """The owner of the key: part of every stored object's primary key and of every sealed blob."""
    key_id: str | None = None
    """A name for the key, fit for logs; never the key."""
    groups: tuple[str, ...] = ()


ANYONE: Final = Caller()
"""Before admission, and where there are no keys: everyone is the one tenant."""


class Gate(Protocol):
    """Lets callers in."""

    def admit(self, headers: Headers, peer: str) -> Caller:
        """The caller behind these header fields, which came from the address `peer`.

        Raises:
            Unauthorized: no key, or an unknown one.
            RateLimited: too many unknown ones from there.
        """


class OpenGate:
    """No keys are configured."""

    def admit(self, headers: Headers, peer: str) -> Caller:
        """Everyone, whatever they carry."""
        return ANYONE
