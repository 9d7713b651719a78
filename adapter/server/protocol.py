"""WebSockets under uvicorn, which ends them as soon as it is told to stop: ours hear of it first and finish their turn."""

from __future__ import annotations

from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from adapter.server.session import STOPPING


class SocketProtocol(WebSocketsSansIOProtocol):
    """Leaves the closing of an open connection to the application; the server waits for it as for any answer."""

    def shutdown(self) -> None:
        """The server stops."""
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait(cast(Any, {"type": STOPPING}))
        else:
            super().shutdown()
