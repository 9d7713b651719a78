"""What Chat has no place for where it was said, and is told in a user's message instead.

Outputs of calls after which the model has spoken again; outputs of tools that nobody called, by which Codex says what is not for
the user to say, as the objective of a goal, or that have given their output, as scripts that notify the model while they run; and
what other agents say: tasks to those that Codex has sent out, and their results.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapter.dialects.chat.request.pending import PENDING
from adapter.dialects.chat.request.turns import Call, Message
from adapter.dialects.chat.request.write_content import Part, single_text, write_content
from adapter.dialects.functions.calls import opened, uncalled
from adapter.dialects.writing import Writing
from adapter.hub.events import Item
from adapter.hub.losses import Action


def late_output(call: Call, content: str | list[Part], media: Sequence[Part], writing: Writing, index: int) -> Message:
    """The output of an earlier call, which stays one that was running."""
    tool_call, _, output, _ = call
    output["content"] = PENDING
    reason = "Chat has no outputs of earlier turns: it follows in a user message."
    writing.lose(writing.at(index), "late_output", reason, Action.EMULATED)
    words = f"The call {tool_call['id']} of {tool_call[tool_call['type']]['name']} has ended. Its output:"
    return _headed(words, content, media)


def uncalled_output(
    item: Item, content: str | list[Part], media: Sequence[Part], writing: Writing, index: int
) -> Message:
    """What a tool says without having been called, or beside the output of its call."""
    reason = "Chat has one output of each call and no other: it is told in a user message."
    writing.lose(writing.at(index), "uncalled_output", reason, Action.EMULATED)
    return _headed(uncalled(item, writing.profile.call_id), content, media)


def agent_message(item: Item, writing: Writing, index: int) -> Message:
    """What an agent says.

    Raises:
        BadRequest: content that cannot be sent.
    """
    reason = "Chat has no messages between agents: it is told in a user message."
    writing.lose(writing.at(index), "agent_message", reason, Action.EMULATED)
    content = opened(item.get("content"))
    if isinstance(content, list):
        texts = [single_text([part]) for part in content]
        content = content if None in texts else "".join(filter(None, texts))
    return {"role": "user", "content": write_content(content, writing, index, "content")}


def _headed(words: str, content: str | list[Part], media: Sequence[Part]) -> Message:
    if isinstance(content, str) and not media:
        return {"role": "user", "content": f"{words}\n{content}"}
    texts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    return {"role": "user", "content": [{"type": "text", "text": words}, *texts, *media]}
