"""A tiny MCP server over stdio: one tool, `say`, that repeats its text louder. Standard library only."""

from __future__ import annotations

import json
import sys
from typing import Any

TOOL = {
    "name": "say",
    "description": "Echo: says the text back, louder.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}


def result(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    match method:
        case "initialize":
            return {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "echo", "version": "1"},
            }
        case "tools/list":
            return {"tools": [TOOL]}
        case "tools/call":
            return {"content": [{"type": "text", "text": params["arguments"]["text"].upper() + "!"}]}
        case "ping":
            return {}
        case _:
            return None


for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    found = result(asked.get("method", ""), asked.get("params") or {})
    told = {"error": {"code": -32601, "message": "no such method"}} if found is None else {"result": found}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **told}), flush=True)
