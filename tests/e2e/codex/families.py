"""The versions of Codex, the model families that each of them knows, and how a model of each family does things."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from adapter.conform.acting import use
from adapter.conform.speaking import Spoken, usage

VERSIONS = NEWEST, OLDEST = "0.171.0", "0.120.0"
Body = dict[str, Any]
Item = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """Models that Codex offers the same tools."""

    name: str
    slug: str
    versions: tuple[str, ...]
    elsewhere: str
    """Why the other versions have no cells of their own."""
    patches: bool = True
    """It is offered apply_patch."""
    code: bool = False
    """Every tool is called from JavaScript, through the custom tool `exec`."""
    searches: bool = False
    """MCP tools wait behind tool_search."""

    def shell(self, body: Body, command: str, id: str = "0") -> Item:
        """Run a command."""
        if self.code:
            return self.script(body, f"const r = await tools.exec_command({json.dumps({'cmd': command})}); text(r)", id)
        return use(body, "exec_command", {"cmd": command}, id=id)

    def patch(self, body: Body, patch: str, id: str = "0") -> Item:
        """Apply a patch."""
        if self.code:
            return self.script(body, f"text(await tools.apply_patch({json.dumps(patch)}))", id)
        return use(body, "apply_patch", patch, id=id)

    def look(self, body: Body, path: str, id: str = "0") -> Item:
        """See an image."""
        if self.code:
            return self.script(body, f"image(await tools.view_image({json.dumps({'path': path})}))", id)
        return use(body, "view_image", {"path": path}, id=id)

    def echo(self, body: Body, text: str, id: str = "0") -> Item:
        """Call the MCP server's one tool."""
        if self.code:
            return self.script(body, f"text(await tools.mcp__echo__say({json.dumps({'text': text})}))", id)
        return use(body, "say", {"text": text}, namespace="mcp__echo", id=id)

    def garbled(self, body: Body, id: str = "0") -> Item:
        """A call whose arguments are no JSON."""
        return use(body, "wait" if self.code else "exec_command", '{"cmd": oops', id=id)

    def script(self, body: Body, source: str, id: str) -> Item:
        """Run JavaScript."""
        return use(body, "exec", source, namespace="functions", id=id)


FAMILIES = (
    Family("unknown", "qwen3-coder", VERSIONS, "", patches=False),
    Family("gpt-5.5", "gpt-5.5", (NEWEST,), f"{OLDEST} does not know it: the same as unknown", searches=True),
    Family("gpt-5.6", "gpt-5.6-sol", (NEWEST,), f"{OLDEST} does not know it: the same as unknown", code=True),
    Family("gpt-5.2", "gpt-5.2-codex", (OLDEST,), f"{NEWEST} does not know it: the same as unknown"),
)


def text(said: str) -> Item:
    """A message."""
    part = {"type": "output_text", "text": said, "annotations": [], "logprobs": []}
    return {"id": "msg_0", "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def refusal(said: str) -> Item:
    """A message that refuses."""
    return {**text(""), "content": [{"type": "refusal", "refusal": said}]}


def thought(said: str) -> Item:
    """Reasoning, with the blob that a Responses server would give."""
    content = [{"type": "reasoning_text", "text": said}]
    return {"id": "rs_0", "type": "reasoning", "summary": [], "content": content, "encrypted_content": "gAAAA+blob/=="}


def answer(*items: Item, tokens: int = 100, **facts: Any) -> Spoken:
    """One answer of a model. Its ids are those of its calls, so that no two answers of a script share one."""
    token = "".join(item.get("call_id", "") for item in items) or "text"
    given = {"usage": usage(tokens, 10), "width": 7, **facts}
    return Spoken([{**item, "id": f"{item['id']}{token}"} for item in items], id=f"resp_{token}", **given)


def says(said: str, **facts: Any) -> Spoken:
    """An answer that is only text."""
    return answer(text(said), **facts)
