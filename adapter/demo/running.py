"""The demo model beside the server that it is an upstream of."""

from __future__ import annotations

import logging
import socket
import threading
from typing import get_args

from adapter.codex import config_block
from adapter.hub.request import DialectName
from adapter.kinds import Secret
from adapter.sections import Upstream


def sections(listener: socket.socket) -> tuple[Upstream, ...]:
    """The two `[[upstreams]]` of the model that will answer there."""
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    return tuple(
        Upstream(
            name=f"demo-{dialect}",
            base_url=base_url,
            dialect=dialect,
            api_key=Secret("none"),
            models=(f"demo-{dialect}",),
            capabilities={"reasoning_effort": True, "files": True},
        )
        for dialect in get_args(DialectName)
    )


def start(listener: socket.socket) -> None:
    """Answer there, in a thread of this process."""
    import uvicorn

    from adapter.demo.app import app

    # not uvloop: the thread is still there when the interpreter goes, which uvloop's callbacks do not survive
    config = uvicorn.Config(
        app, loop="asyncio", http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    threading.Thread(target=uvicorn.Server(config).run, args=([listener],), name="demo", daemon=True).start()


def pasteable(base_url: str) -> str:
    """Lines for a terminal that show both surfaces over the demo model, and Codex's configuration."""
    return f"""
# Chat Completions, over an upstream that speaks Responses
curl -N {base_url}/chat/completions -H 'content-type: application/json' \\
  -d '{{"model": "demo-responses", "stream": true, "messages": [{{"role": "user", "content": "Say hello"}}]}}'

# Responses, over an upstream that speaks Chat Completions
curl -N {base_url}/responses -H 'content-type: application/json' \\
  -d '{{"model": "demo-chat", "stream": true, "input": "Say hello"}}'

# Codex: ~/.codex/config.toml
{config_block(base_url, "demo-chat", key=False)}
"""
