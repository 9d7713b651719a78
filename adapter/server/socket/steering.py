"""`response.steer`: what the user says while a response is being made, for the turn behind it.

Nothing that is asked here can be told more while it answers. So input that was taken in waits, and is the input of a turn of
its own that goes on from the response as soon as it is complete, with the same settings. Where the client has to answer first
(calls, approvals), the input stands before what its next `response.create` brings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from adapter.errors import MissingParameter
from adapter.hub.events import Item
from adapter.server.history import as_items
from adapter.wire.jsonio import dumps
from adapter.wire.tokens import token

STEER: Final = "response.steer"
MOST: Final = 32
"""Inputs that may wait on one connection."""
_MESSAGE: Final = frozenset({"type", "role", "content"})
_PARTS: Final = frozenset({"input_text", "input_image", "input_file"})
_ANSWERS: Final = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "computer_call": "computer_call_output",
    "local_shell_call": "local_shell_call_output",
    "shell_call": "shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
}
"""Calls that the client runs -> what it answers them with."""


class Steer(NamedTuple):
    """Input for a response that is being made."""

    response_id: str
    input: Any
    """As it was said."""
    size: int
    """Bytes of its frame."""
    id: str | None = None
    """Once it was taken in."""

    @property
    def items(self) -> list[Item]:
        """The input of a turn."""
        return as_items(self.input)

    @property
    def fits(self) -> bool:
        """It holds messages of the user and nothing else."""
        said = self.input
        return isinstance(said, str) or (isinstance(said, list) and all(map(_is_message, said)))


def read_steer(frame: dict[str, Any], size: int) -> Steer:
    """The input in a frame of that size.

    Raises:
        MissingParameter: it names no response or has no input.
    """
    response_id, said = frame.get("previous_response_id"), frame.get("input")
    if not response_id or not isinstance(response_id, str):
        raise MissingParameter("A response.steer needs previous_response_id.", param="previous_response_id")
    if not said:
        raise MissingParameter("A response.steer needs input.", param="input")
    return Steer(response_id, said, size, f"steer_{token()}")


def _is_message(item: Any) -> bool:
    if not isinstance(item, dict) or not item.keys() <= _MESSAGE:
        return False
    content = item.get("content")
    if item.get("role") != "user" or item.get("type", "message") != "message" or not content:
        return False
    return isinstance(content, str) or (
        isinstance(content, list) and all(isinstance(part, dict) and part.get("type") in _PARTS for part in content)
    )


def required(output: Sequence[Item]) -> list[dict[str, Any]]:
    """What the client has to answer before the conversation goes on: an answer to each of these items, without what it says.
    What the server runs itself, as a shell in its container, has its answer among them."""
    answered = [item.get("call_id") for item in output if item.get("type") in _ANSWERS.values()]
    stubs: list[dict[str, Any]] = []
    for item in output:
        kind, call_id = str(item.get("type")), item.get("call_id")
        if kind == "mcp_approval_request":
            stubs.append({"type": "mcp_approval_response", "approval_request_id": item.get("id")})
        elif kind == "tool_search_call" and item.get("execution") == "client":
            stubs.append({"type": "tool_search_output", "call_id": call_id, "execution": "client"})
        elif kind in _ANSWERS and not item.get("async") and call_id not in answered:
            named = {"name": item.get("name")} if kind == "function_call" else {}
            stubs.append({"type": _ANSWERS[kind], "call_id": call_id, **named})
    return stubs


# ------------------------------------------------------------------------------------------- what the client is told of it


def accepted(steer: Steer, number: int) -> bytes:
    """It waits."""
    told = {"id": steer.id, "previous_response_id": steer.response_id}
    return _event("accepted", number, steer=told)


def pending(steer: Steer, stubs: list[dict[str, Any]], number: int) -> bytes:
    """The response is complete, and it still waits."""
    told = {"id": steer.id, "previous_response_id": steer.response_id}
    return _event("pending", number, steer=told, reason="waiting_for_required_input", required_input=stubs)


def failed(steer: Steer, code: str, number: int) -> bytes:
    """It does not wait (any more), and comes back."""
    told = {"id": steer.id, "previous_response_id": steer.response_id, "input": steer.input}
    error = {"type": "invalid_request_error", "code": code, "message": _WHY[code]}
    return _event("failed", number, steer={key: value for key, value in told.items() if value is not None}, error=error)


def _event(kind: str, number: int, **facts: Any) -> bytes:
    return dumps({"type": f"{STEER}.{kind}", "sequence_number": number, **facts})


_WHY: Final = {
    "invalid_input": "A response is steered by messages of the user: text, images, files.",
    "response_already_completed": "The response is complete; send the input with the next response.create.",
    "response_not_active": "The response ended without being complete; send the input with another response.create.",
    "response_not_found": "No response of that id is being made on this connection.",
    "steering_not_supported": "A response of a conversation, or one that compacts its context, cannot be steered.",
    "successor_creation_failed": "There was no turn for this input; send it with another response.create.",
    "too_many_pending_steers": f"At most {MOST} inputs may wait on a connection, all together as long as a request.",
}
