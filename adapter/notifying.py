"""What the service manager that started this program is told of it: that it serves, reads its configuration again, and stops.

systemd asks for it with `Type=notify` or `Type=notify-reload` (`sd_notify(3)`).
"""

from __future__ import annotations

import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

_WHERE: Final = "NOTIFY_SOCKET"


class Manager:
    """Who is told. Nobody, where no manager wants to know."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """The manager that `environ` names. It is taken out: what this process starts is not what the manager started."""
        address = environ.pop(_WHERE, "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def ready(self) -> None:
        """This serves; after `reloading`: by what it has read, or as before."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Answers in progress are finished, and nothing else."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:  # its loss, not ours
                to.setblocking(False)
                to.sendto(state.encode(), self._address)
