"""Hub items -> Chat messages, repaired so that every Chat server takes them (map a3).

The two APIs disagree on what a conversation is. Responses has a flat list: reasoning, texts, calls and outputs in any order that
makes sense, outputs anywhere behind their calls. Chat has turns and one hard rule: an assistant message with `tool_calls` is
followed at once by exactly one tool message for each call. So items are gathered into *turns*:

* A turn is what the assistant said in one go: reasoning, text, calls. A call joins the turn before it, and so does text that
  comes while that turn has calls without any output yet: such text stood between a call and its output. Otherwise text begins a
  turn of its own, so that separate messages stay separate.
* A turn ends with the first output for it, or with anything that another role says.
* Outputs are not emitted where they stand but kept with their call, so that whatever came in between (a user message, a
  warning) moves behind the group by itself. An output belongs to the earliest unanswered call before it that has its id: ids
  that a server reuses from turn to turn pair up rightly.
* Images and files in outputs follow in one user message behind all tool messages of the turn, for servers whose tool messages
  hold only text.

Reasoning waits for the next thing that the assistant says. Instructions and leading system or developer messages become one
leading message, unless the server keeps roles in place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from adapter.dialects.chat.checks import no_string, string, wrong_value
from adapter.dialects.chat.readable import readable_reasoning
from adapter.dialects.chat.tools import Toolbox
from adapter.dialects.chat.turns import Call, Pieces, Turn, longer, write_turn
from adapter.dialects.chat.write_calls import CALLS, OUTPUTS
from adapter.dialects.chat.write_content import single_text, write_assistant, write_content, write_text
from adapter.dialects.chat.writing import Writing
from adapter.errors import BadRequest, InvalidEncryptedContent, UnsupportedParameter
from adapter.hub.events import Item
from adapter.hub.losses import Action
from adapter.hub.names import fitted_call_id

Message = dict[str, Any]

HOSTED_ITEMS: Final = frozenset(
    {
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "computer_call",
        "computer_call_output",
        "mcp_list_tools",
        "mcp_call",
        "mcp_approval_request",
        "mcp_approval_response",
        "program",
        "program_output",
    }
)
"""What model servers ran themselves; Chat histories have no place for it."""

_NAMED_LOSSES: Final = HOSTED_ITEMS | {"agent_message", "configuration_update"} | CALLS.keys()


class History:
    """Takes the items one by one, gives the messages."""

    def __init__(self, writing: Writing, box: Toolbox) -> None:
        self._writing = writing
        self._box = box
        self._keep = writing.profile.late_system == "keep"
        self._turns: list[Turn | Message] = []
        self._turn: Turn | None = None
        self._lead: list[str] = []
        self._begun = False
        """Somebody other than the instructions has spoken."""
        self._waiting: dict[str, list[Call]] = {}
        """Calls without output, by call id, the earliest first."""
        self._id_rule = rule = writing.profile.call_id
        self._fits = rule.max if rule.alphabet == "any" else 0
        """Call ids of up to this length go on as they are."""
        self._wire_ids: set[str] = set()
        """Of the calls of the current turn."""
        self._other_ids: dict[str, str] = {}
        """Item id -> call id, of the calls whose outputs may name either."""
        self._answered: set[str] = set()
        self._named: dict[str, deque[str]] | None = None
        """Function name -> ids of its calls; made when an output without call id comes."""
        self._reasoning: Pieces = ""
        self._reasoning_at = 0
        self._reasoning_lost = False

    def messages(self, hint: str | None = None) -> list[Message]:
        """All messages; `hint` is a further instruction of the adapter's own.

        Raises:
            BadRequest: calls and outputs that do not pair, or content that cannot be sent.
        """
        instructions = self._writing.request.body.get("instructions")
        if instructions is not None:
            self._lead.append(string(instructions, "instructions"))
        takers, unknown = _TAKERS, History._unknown
        for index, item in enumerate(self._writing.request.items):
            kind = item.get("type")
            (takers.get(kind, unknown) if type(kind) is str else unknown)(self, index, item)
        if self._reasoning:
            self._lose_waiting_reasoning()
        return self._written(hint)

    # ------------------------------------------------------------------------------------------------- taking items

    def _message(self, index: int, item: Item) -> None:
        role = item.get("role")
        if role == "assistant":
            turn = self._turn
            if turn is None or turn.answered or not turn.calls:
                turn = self._new_turn()
            content = item.get("content")
            text = single_text(content)
            if text is None:
                text, refusal = write_assistant(content, self._writing, index, "content")
                turn.refusal = longer(turn.refusal, refusal)
            turn.text = longer(turn.text, text)
            if self._reasoning:
                self._attach_reasoning(turn)
        elif role == "user":
            content = item.get("content")
            said = single_text(content)
            if said is None:
                self._say({"role": "user", "content": write_content(content, self._writing, index, "content")})
            else:
                self._say({"role": "user", "content": said})
        elif role in ("system", "developer"):
            self._instruct(role, index, item.get("content"))
        else:
            string(role, self._writing.at(index, ".role"))
            raise wrong_value(self._writing.at(index, ".role"), "user, assistant, system or developer")

    def _instruct(self, role: str, index: int, content: Any) -> None:
        profile = self._writing.profile
        if self._keep:
            if profile.instructions_role == "system":
                role = "system"
            self._say({"role": role, "content": write_text(content, self._writing, index, "content")})
        elif not self._begun:
            self._lead.append(write_text(content, self._writing, index, "content"))
        else:
            reason = "The upstream takes instructions only at the beginning."
            self._writing.lose(self._writing.at(index, ".role"), "late_system", reason, Action.APPROXIMATED)
            if profile.late_system == "lead":
                self._lead.append(write_text(content, self._writing, index, "content"))
            else:
                self._say({"role": "user", "content": write_content(content, self._writing, index, "content")})

    def _say(self, message: Message) -> None:
        """Another role speaks: the assistant's turn is over, and reasoning that waits will not be said any more."""
        if self._reasoning:
            self._lose_waiting_reasoning()
        if message["role"] == "user":
            self._begun = True
        self._turn = None
        self._turns.append(message)

    def _new_turn(self) -> Turn:
        self._begun = True
        self._turn = turn = Turn()
        self._turns.append(turn)
        self._wire_ids.clear()
        return turn

    def _call(self, index: int, item: Item) -> None:
        call_id = item.get("call_id")
        if not isinstance(call_id, str):
            raise no_string(call_id, self._writing.at(index, ".call_id"))
        turn = self._turn
        if turn is not None and turn.answered:
            turn = None
        wire_id = call_id if 0 < len(call_id) <= self._fits else fitted_call_id(call_id, self._id_rule)
        if turn is not None and wire_id in self._wire_ids:
            wire_id = self._other_id(call_id)
        tool_call = CALLS[item["type"]](item, index, self._writing, self._box, wire_id)
        waiting = self._waiting.get(call_id)
        if waiting is not None and waiting[-1].says(tool_call):
            self._writing.lose(self._writing.at(index), "duplicate_call", "The same call stands there twice.")
            return
        if turn is None:
            turn = self._new_turn()
        self._wire_ids.add(wire_id)
        call = Call(turn, index, tool_call)
        if waiting is None:
            self._waiting[call_id] = [call]
        else:
            waiting.append(call)
        if self._reasoning:
            self._attach_reasoning(turn)

    def _local_shell_call(self, index: int, item: Item) -> None:
        """Its output may name the item's id instead of the call id, and older clients send only the id."""
        if item.get("call_id") is None:
            item = {**item, "call_id": item.get("id")}
        self._call(index, item)
        if isinstance(item.get("id"), str):
            self._other_ids[item["id"]] = item["call_id"]

    def _search_call(self, index: int, item: Item) -> None:
        if _is_server_search(item):
            self._unknown(index, item)
        else:
            self._call(index, item)

    def _search_output(self, index: int, item: Item) -> None:
        """What a server's own search found is offered like any tool; there is no call for it to answer."""
        if not _is_server_search(item):
            self._output(index, item)

    def _other_id(self, call_id: str) -> str:
        """An id for a call whose own is taken by another call of the same turn."""
        again = len(self._wire_ids) + 1
        while (wire_id := fitted_call_id(f"{call_id}_{again}", self._id_rule)) in self._wire_ids:
            again += 1
        return wire_id

    def _output(self, index: int, item: Item) -> None:
        call_id = item.get("call_id")
        if call_id is None:
            call_id = self._call_id_otherwise(index, item)
        if not isinstance(call_id, str):
            raise no_string(call_id, self._writing.at(index, ".call_id"))
        waiting = self._waiting.get(call_id)
        if waiting is None:
            if call_id not in self._answered:
                words = item["type"].replace("_", " ")
                raise BadRequest(f"No tool call found for {words} with call_id {call_id[:128]}.", param="input")
            self._writing.lose(self._writing.at(index), "duplicate_output", "The call has its output already.")
            return
        call = waiting.pop(0)
        if not waiting:
            del self._waiting[call_id]
        self._answered.add(call_id)
        call.turn.answered = True
        call.output = OUTPUTS[item["type"]](item, index, self._writing, self._box)

    def _call_id_otherwise(self, index: int, item: Item) -> Any:
        """The call id of an output that gives none: by the call item's id, or by the name of a waiting call."""
        if item["type"] == "local_shell_call_output":
            other = string(item.get("id"), self._writing.at(index, ".id"))
            return self._other_ids.get(other, other)
        called = item.get("name")
        if not isinstance(called, str):
            return None
        if self._named is None:
            self._named = _calls_by_name(self._writing.request.items)
        named = self._named.get(called, deque())
        while named and named[0] not in self._waiting and named[0] in self._answered:
            named.popleft()
        return named[0] if named and named[0] in self._waiting else None

    def _reason(self, index: int, item: Item) -> None:
        text = readable_reasoning(item)
        if text:
            if not self._reasoning:
                self._reasoning_at = index
            self._reasoning = longer(self._reasoning, text)

    def _attach_reasoning(self, turn: Turn) -> None:
        if not turn.reasoning:
            turn.reasoning_at = self._reasoning_at
        turn.reasoning = longer(turn.reasoning, self._reasoning)
        self._reasoning = ""

    def _lose_waiting_reasoning(self) -> None:
        self._reasoning = ""
        self._lose_reasoning(self._reasoning_at)

    def _lose_reasoning(self, index: int) -> None:
        """Reported once: it is one thing that this upstream does not get, however often it comes."""
        if not self._reasoning_lost:
            self._reasoning_lost = True
            self._writing.lose(self._writing.at(index), "reasoning", "The upstream is not given this reasoning again.")

    def _nothing(self, index: int, item: Item) -> None:
        """Says nothing to the model by itself."""

    def _compaction(self, index: int, item: Item) -> None:
        raise InvalidEncryptedContent(
            "This compaction item was not made here, or can no longer be opened.",
            param=self._writing.at(index, ".encrypted_content"),
        )

    def _trigger(self, index: int, item: Item) -> None:
        raise UnsupportedParameter("compaction_trigger is not supported here.", param=self._writing.at(index))

    def _reference(self, index: int, item: Item) -> None:
        raise BadRequest(
            "item_reference items need stored responses, which are not kept here: send the item itself.",
            param=self._writing.at(index, ".id"),
        )

    def _unknown(self, index: int, item: Item) -> None:
        kind = item.get("type")
        if kind == "mcp_approval_response" and index == len(self._writing.request.items) - 1:
            raise UnsupportedParameter("The upstream cannot run MCP tools.", param=self._writing.at(index))
        word = kind if isinstance(kind, str) and kind in _NAMED_LOSSES else "unknown_item"
        self._writing.lose(self._writing.at(index), word, "Chat histories have no place for this kind of item.")

    def _written(self, hint: str | None) -> list[Message]:
        lead = [text for text in (*self._lead, hint) if text]
        if not self._keep and (
            lead or (self._lead and not self._turns)
        ):  # empty instructions alone are still a message
            lead = ["\n\n".join(lead)]
        role = self._writing.profile.instructions_role
        messages: list[Message] = [{"role": role, "content": text} for text in lead]
        for turn in self._turns:
            if isinstance(turn, Turn):
                if not write_turn(turn, self._writing, messages):
                    self._lose_reasoning(turn.reasoning_at)
            else:
                messages.append(turn)
        return messages


def _calls_by_name(items: list[Item]) -> dict[str, deque[str]]:
    named: dict[str, deque[str]] = {}
    for item in items:
        called, call_id = item.get("name"), item.get("call_id")
        if isinstance(called, str) and isinstance(call_id, str) and "output" not in item:
            named.setdefault(called, deque()).append(call_id)
    return named


def _is_server_search(item: Item) -> bool:
    return item.get("execution") == "server" or item.get("call_id") is None


_TAKERS: Final[dict[str, Callable[[History, int, Item], None]]] = {
    "message": History._message,
    **dict.fromkeys(CALLS, History._call),
    **dict.fromkeys(OUTPUTS, History._output),
    "local_shell_call": History._local_shell_call,
    "tool_search_call": History._search_call,
    "tool_search_output": History._search_output,
    "reasoning": History._reason,
    "additional_tools": History._nothing,
    "compaction": History._compaction,
    "compaction_summary": History._compaction,
    "context_compaction": History._compaction,
    "compaction_trigger": History._trigger,
    "item_reference": History._reference,
}
