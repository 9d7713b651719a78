"""Where a server listens."""

from __future__ import annotations

import socket
from typing import Final

from adapter.errors import ConfigError

BACKLOG: Final = 2048


def url(host: str, port: int) -> str:
    """What stands before the paths of a server that listens there."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def bound(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigError: no such address, or it is taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ConfigError(f"server.host: {host!r} is no address of this machine") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.set_inheritable(True)
    except OSError as refused:
        listener.close()
        raise ConfigError(f"server.port: cannot listen on {host}:{port} ({refused.strerror})") from None
    return listener
