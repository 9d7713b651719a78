"""WebSockets under uvicorn, which ends them as soon as it is told to stop: ours hear of it first and finish their turn. An offer
that cannot be read, which uvicorn neither answers nor closes, is refused as any other request is."""

from __future__ import annotations

from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from adapter.errors import HostileRequest
from adapter.server.http.refusal import unread
from adapter.server.socket.session import STOPPING


class SocketProtocol(WebSocketsSansIOProtocol):
    """Leaves the closing of an open connection to the application; the server waits for it as for any answer."""

    def data_received(self, data: bytes) -> None:
        """The offer, then frames."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            error = HostileRequest(f"The offer of a WebSocket cannot be read: {self.conn.handshake_exc}.")
            self.transport.write(unread(error, self.default_headers))
            self.transport.close()

    def shutdown(self) -> None:
        """The server stops."""
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait(cast(Any, {"type": STOPPING}))
        else:
            super().shutdown()
