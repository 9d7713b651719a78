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

Reasoning waits for the next thing that the assistant says; where its turn ends before that, it was the last of the turn.
Instructions and leading system or developer messages become one leading message, unless the server keeps roles in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import length_hint
from typing import Any, Final

from adapter.dialects.chat.request.item_fields import report_unknown
from adapter.dialects.chat.request.other_items import leave_out
from adapter.dialects.chat.request.pending import has_spoken_since, leave_pending, runs_beside
from adapter.dialects.chat.request.told import agent_message, late_output, uncalled_output
from adapter.dialects.chat.request.turns import (
    Call,
    Message,
    Turn,
    demand_reasoning,
    demand_signatures,
    same_call,
    with_media,
    without_silence,
)
from adapter.dialects.chat.request.write_content import Part, single_text, write_assistant, write_content, write_text
from adapter.dialects.chat.request.write_outputs import OUTPUTS, write_output
from adapter.dialects.checks import no_string, string, wrong_value
from adapter.dialects.functions.calls import CALLS, ToolCall, is_server_search
from adapter.dialects.functions.pairing import Pairing
from adapter.dialects.functions.toolbox import Toolbox
from adapter.dialects.writing import Writing
from adapter.hub.events import Item
from adapter.hub.extra_content import EXTRA_CONTENT
from adapter.hub.forms import Form
from adapter.hub.items import answers_no_call, readable_reasoning
from adapter.hub.losses import Action
from adapter.hub.names import fitted_call_id, other_call_id
from adapter.hub.reasoning_details import REASONING_DETAILS, parted
from adapter.wire.jsonio import is_object


class History:
    """Takes the items one by one, gives the messages.

    Every message is put down as soon as it begins. A call keeps a place for its output right behind it: a tool message that
    is filled when the output comes.
    """

    _turn: Message | None = None
    """The assistant's message that takes what it says next: nobody else has spoken, none of its calls is answered."""
    _renamed: Message | None = None
    """The last turn in which a call did not keep its id, or might not have."""
    _wire_ids: set[str]
    """Those of the calls of `_renamed`."""
    _reasoning_at = 0

    def __init__(self, writing: Writing, box: Toolbox) -> None:
        self._writing = writing
        self._box = box
        self._items = writing.request.items
        self._silence = None if writing.profile.assistant_null_content else ""
        """The content of an assistant's message that has only calls."""
        self._beside = any(ref.beside for ref in box.refs.values())
        """Some call may still be running while the conversation goes on."""
        self._messages: list[Message] = []
        self._lead: list[str] = []
        self._turns: list[Turn] = []
        """The assistant's messages that have to be completed in the end."""
        self._calls: Pairing[Call] = Pairing()
        self._id_rule = rule = writing.profile.call_id
        self._fits = rule.max if rule.alphabet == "any" else 0
        """Call ids of up to this length go on as they are."""
        self._other_ids: dict[str, str] = {}
        """Item id -> call id, of the calls whose outputs may name either."""
        self._media: dict[int, Sequence[Part]] = {}
        """What `with_media` puts behind tool messages."""
        self._reasoning: list[str] = []
        """Waits for what the assistant says next, or for the turn's end."""

    def messages(self, hint: str | None = None) -> list[Message]:
        """All messages; `hint` is a further instruction of the adapter's own.

        Raises:
            BadRequest: calls and outputs that do not pair, or content that cannot be sent.
        """
        instructions = self._writing.request.body.get("instructions")
        if instructions is not None:
            self._lead.append(instructions if type(instructions) is str else string(instructions, "instructions"))
        self._take_all(self._writing.request.forms)
        self._end_turn()
        return self._written(hint)

    def _take_all(self, forms: list[Form | None]) -> None:
        """Takes each item. Those that have a form are written by it, in a fifth of the time that `_take` needs for them (the
        same result, a law in the tests)."""
        items, messages = self._items, self._messages
        calls, further = self._calls.waiting, self._calls.further
        fits, wires, silence = self._fits, self._box.functions, self._silence
        any_arguments = self._writing.profile.any_arguments
        turn: Message | None = None
        plain = not self._beside
        rest, last = iter(forms), len(forms) - 1  # to ask the iterator where it stands is cheaper than to count along
        for form in rest:
            if form is not None and plain:
                kind, text, call_id, called = form
                if kind == "user":
                    turn = None
                    messages.append({"role": "user", "content": text})
                    continue
                if kind == "function_call_output":
                    if (call := calls.get(call_id)) is not None and not further:
                        calls[call_id] = None
                        call[2]["content"] = text
                        if call[1] is turn:
                            turn = None
                        continue
                elif kind == "assistant":
                    if turn is None or "tool_calls" not in turn:
                        turn = {"role": "assistant", "content": text}
                        messages.append(turn)
                        continue
                elif (
                    (wire := wires.get(called)) is not None
                    and call_id
                    and len(call_id) <= fits
                    and calls.get(call_id) is None
                    and (turn is None or turn is not self._renamed)
                    and (any_arguments or is_object(text))
                ):
                    function = {"name": wire, "arguments": text or "{}"}
                    tool_call = {"id": call_id, "type": "function", "function": function}
                    if turn is None:
                        turn = {"role": "assistant", "content": silence, "tool_calls": [tool_call]}
                        messages.append(turn)
                    elif "tool_calls" in turn:
                        turn["tool_calls"].append(tool_call)
                    else:
                        turn["content"] = turn["content"] or silence
                        turn["tool_calls"] = [tool_call]
                    output = {"role": "tool", "tool_call_id": call_id, "content": ""}
                    messages.append(output)
                    calls[call_id] = (tool_call, turn, output, items[last - length_hint(rest)])
                    continue
            self._turn = turn
            index = last - length_hint(rest)
            self._take(index, items[index])
            turn, plain = self._turn, not (self._reasoning or self._beside)

    def _take(self, index: int, item: Item) -> None:
        kind = item.get("type")
        taker = _TAKERS.get(kind) if type(kind) is str else None
        if taker is not None:
            taker(self, index, item)
        else:
            leave_out(index, item, self._writing)
        if self._writing.request.dialect == "responses":
            report_unknown(index, item, self._writing)

    # ------------------------------------------------------------------------------------------------- taking items

    def _message(self, index: int, item: Item) -> None:
        role, content = item.get("role"), item.get("content")
        if role == "assistant":
            self._answer(index, item)
        elif role == "user":
            self._say_named(
                {"role": "user", "content": write_content(content, self._writing, index, "content")}, index, item
            )
        elif role in ("system", "developer"):
            self._instruct(role, index, item)
        else:
            string(role, self._writing.at(index, ".role"))
            raise wrong_value(self._writing.at(index, ".role"), "user, assistant, system or developer")

    def _answer(self, index: int, item: Item) -> None:
        content = item.get("content")
        text, refusal = single_text(content), ""
        if text is None:
            text, refusal = write_assistant(content, self._writing, index, "content")
        if self._turn is None or "tool_calls" not in self._turn:
            self._begin({"role": "assistant", "content": text})
        elif text:
            self._fuller_turn().text.append(text)
        if refusal:
            self._fuller_turn().refusal.append(refusal)
        assert self._turn is not None
        self._carry_extra(index, item, self._turn)
        self._carry_name(index, item, self._turn)
        if self._reasoning:
            self._attach_reasoning()

    def _carry_extra(self, index: int, item: Item, message: Message | ToolCall) -> None:
        """What the server gave with it, to have it back: with the call or the text, or with the turn."""
        if not item.get(EXTRA_CONTENT):
            return
        profile, turn = self._writing.profile, self._turn
        details, extra = parted(item[EXTRA_CONTENT])
        if details and profile.reasoning_details and turn is not None:
            turn[REASONING_DETAILS] = [*turn.get(REASONING_DETAILS, ()), *details]
        if extra and profile.extra_content:
            message[EXTRA_CONTENT] = extra
        if (details and not profile.reasoning_details) or (extra and not profile.extra_content):
            reason = "The upstream is not given back what another server signed."
            self._writing.lose_once(self._writing.at(index, ".extra_content"), EXTRA_CONTENT, reason)

    def _carry_name(self, index: int, item: Item, message: Message | None) -> None:
        """Who speaks, of a Chat client's message. None where the message is merged with others."""
        if not item.get("name") or self._writing.request.dialect != "chat":
            return
        if message is not None and self._writing.profile.names:
            message["name"] = item["name"]
        else:
            self._writing.lose_once(self._writing.at(index), "name", "The upstream is not told who speaks.")

    def _say_named(self, message: Message, index: int, item: Item) -> None:
        self._carry_name(index, item, message)
        self._say(message)

    def _instruct(self, role: str, index: int, item: Item) -> None:
        content, profile = item.get("content"), self._writing.profile
        if profile.late_system == "keep":
            if profile.instructions_role == "system":
                role = "system"
            message: Message = {"role": role, "content": write_text(content, self._writing, index, "content")}
            self._say_named(message, index, item)
            return
        if self._messages:
            reason = "The upstream takes instructions only at the beginning."
            self._writing.lose(self._writing.at(index, ".role"), "late_system", reason, Action.APPROXIMATED)
            if profile.late_system == "user":
                message = {"role": "user", "content": write_content(content, self._writing, index, "content")}
                self._say_named(message, index, item)
                return
        self._carry_name(index, item, None)
        self._lead.append(write_text(content, self._writing, index, "content"))

    def _say(self, message: Message) -> None:
        """Another role speaks."""
        self._end_turn()
        self._messages.append(message)

    def _begin(self, turn: Message) -> None:
        self._turn = turn
        self._messages.append(turn)

    def _fuller_turn(self) -> Turn:
        """The current turn, to be given what does not fit into its message at once."""
        message = self._turn
        assert message is not None
        if not self._turns or self._turns[-1].message is not message:
            self._turns.append(Turn(message))
        return self._turns[-1]

    def _call(self, index: int, item: Item) -> None:
        call_id = item.get("call_id")
        if not isinstance(call_id, str):
            raise no_string(call_id, self._writing.at(index, ".call_id"))
        wire_id = call_id if 0 < len(call_id) <= self._fits else fitted_call_id(call_id, self._id_rule)
        waiting = self._calls.last(call_id)
        if self._turn is not None and (waiting or wire_id != call_id or self._renamed is self._turn):
            taken = self._taken_ids(self._turn)
            if wire_id in taken:
                wire_id = other_call_id(call_id, self._id_rule, taken)
        tool_call = CALLS[item["type"]](item, index, self._writing, self._box, wire_id)
        if waiting is not None and same_call(waiting[0], tool_call):
            self._writing.lose(self._writing.at(index), "duplicate_call", "The same call stands there twice.")
            return
        self._add_call(index, call_id, tool_call)
        self._beside = self._beside or bool(item.get("async"))
        self._carry_extra(index, item, tool_call)
        if self._reasoning:
            self._attach_reasoning()

    def _add_call(self, index: int, call_id: str, tool_call: ToolCall) -> None:
        turn, wire_id = self._turn, tool_call["id"]
        if turn is None:
            turn = {"role": "assistant", "content": self._silence, "tool_calls": [tool_call]}
            self._begin(turn)
        elif "tool_calls" in turn:
            turn["tool_calls"].append(tool_call)
        else:
            turn["content"] = turn["content"] or self._silence
            turn["tool_calls"] = [tool_call]
        output = {"role": "tool", "tool_call_id": wire_id, "content": ""}
        self._messages.append(output)
        self._calls.add(call_id, (tool_call, turn, output, self._items[index]))
        if wire_id is not call_id or self._renamed is turn:
            self._taken_ids(turn).add(wire_id)

    def _taken_ids(self, turn: Message) -> set[str]:
        """The wire ids of the current turn's calls."""
        if self._renamed is not turn:
            self._renamed = turn
            self._wire_ids = {call["id"] for call in turn.get("tool_calls", ())}
        return self._wire_ids

    def _local_shell_call(self, index: int, item: Item) -> None:
        """Its output may name the item's id instead of the call id."""
        self._call(index, item)
        if isinstance(item.get("id"), str):
            self._other_ids[item["id"]] = item["call_id"]

    def _search_call(self, index: int, item: Item) -> None:
        if is_server_search(item):
            leave_out(index, item, self._writing)
        else:
            self._call(index, item)

    def _search_output(self, index: int, item: Item) -> None:
        """What a server's own search found is offered like any tool; there is no call for it to answer."""
        if not is_server_search(item):
            self._output(index, item)

    def _output(self, index: int, item: Item) -> None:
        call_id = item.get("call_id")
        if call_id is None:
            call_id = self._call_id_otherwise(index, item)
            if call_id is None and isinstance(item.get("name"), str):
                self._uncalled_output(index, item)
                return
        if not isinstance(call_id, str):
            raise no_string(call_id, self._writing.at(index, ".call_id"))
        call = self._calls.waiting.get(call_id)
        if call is None:
            if call_id not in self._calls.waiting:
                raise answers_no_call(item, call_id, self._writing.turns)
            if isinstance(item.get("name"), str):
                self._uncalled_output(index, item)
            else:
                self._writing.lose(self._writing.at(index), "duplicate_output", "The call has its output already.")
            return
        self._calls.answered(call_id)
        tool_call, turn, message, call_item = call
        if turn is self._turn:
            self._end_turn()
        content, media = write_output(item, index, self._writing, self._box)
        if runs_beside(tool_call, call_item, self._box) and has_spoken_since(turn, self._messages):
            self._say(late_output(call, content, media, self._writing, index))
            return
        message["content"] = content
        if media:
            self._media[id(message)] = media

    def _uncalled_output(self, index: int, item: Item) -> None:
        content, media = write_output(item, index, self._writing, self._box)
        self._say(uncalled_output(item, content, media, self._writing, index))

    def _call_id_otherwise(self, index: int, item: Item) -> Any:
        """The call id of an output that gives none: by the call item's id, or by the name of a waiting call."""
        if item["type"] == "local_shell_call_output":
            other = string(item.get("id"), self._writing.at(index, ".id"))
            return self._other_ids.get(other, other)
        called = item.get("name")
        return self._calls.id_by_name(called, self._items) if isinstance(called, str) else None

    def _agent_message(self, index: int, item: Item) -> None:
        self._say(agent_message(item, self._writing, index))

    def _reason(self, index: int, item: Item) -> None:
        text = readable_reasoning(item)
        if text:
            if not self._reasoning:
                self._reasoning_at = index
            self._reasoning.append(text)

    def _attach_reasoning(self) -> None:
        turn = self._fuller_turn()
        if not turn.reasoning:
            turn.reasoning_at = self._reasoning_at
        turn.reasoning += self._reasoning
        self._reasoning = []

    def _end_turn(self) -> None:
        """The assistant has said all: reasoning that still waits is of this turn, or of none and lost."""
        if self._reasoning:
            if self._turn is not None:
                self._attach_reasoning()
            else:
                self._reasoning = []
                self._lose_reasoning(self._reasoning_at)
        self._turn = None

    def _lose_reasoning(self, index: int) -> None:
        reason = "The upstream is not given this reasoning again."
        self._writing.lose_once(self._writing.at(index), "reasoning", reason)

    def _unanswered(self) -> list[tuple[int, Call]]:
        """The calls that still wait, in the order of the items, with their places there."""
        waiting = {id(call[3]): call for call in self._calls.unanswered()}
        places = enumerate(self._items) if waiting else ()
        return [(index, waiting[id(item)]) for index, item in places if id(item) in waiting]

    def _written(self, hint: str | None) -> list[Message]:
        profile = self._writing.profile
        if self._calls.waiting:
            leave_pending(self._unanswered(), self._writing, self._box)
        for turn in self._turns:
            if not turn.complete(profile, self._silence):
                self._lose_reasoning(turn.reasoning_at)
        if profile.reasoning_demanded:
            demand_reasoning(self._messages, profile)
        if profile.signatures_demanded:
            demand_signatures(self._messages)
        messages = self._messages if profile.empty_answers else without_silence(self._messages, self._silence)
        if self._media:
            messages = with_media(messages, self._media)
        if hint:
            self._lead.append(hint)
        if self._lead:
            text = "\n\n".join(filter(None, self._lead))
            if text or not messages:  # empty instructions alone are still a message
                messages.insert(0, {"role": profile.instructions_role, "content": text})
        return messages


_TAKERS: Final[dict[str, Callable[[History, int, Item], None]]] = {
    "message": History._message,
    **dict.fromkeys(CALLS, History._call),
    **dict.fromkeys(OUTPUTS, History._output),
    "local_shell_call": History._local_shell_call,
    "tool_search_call": History._search_call,
    "tool_search_output": History._search_output,
    "reasoning": History._reason,
    "agent_message": History._agent_message,
}
