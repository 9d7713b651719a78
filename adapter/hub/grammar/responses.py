"""The grammar of a Responses stream: the essay is in the package's docstring, the bodies of items in `bodies`."""

from __future__ import annotations

from typing import Any, Final

from adapter.hub.grammar import framing
from adapter.hub.grammar.bodies import BODY_EVENTS, Check, ItemBody, named_after
from adapter.hub.grammar.violation import Violation, shown

STATUS_OF_EVENT: Final = {
    "response.created": ("in_progress", "queued"),
    "response.queued": ("queued",),
    "response.in_progress": ("in_progress",),
    "response.completed": ("completed",),
    "response.incomplete": ("incomplete",),
    "response.failed": ("failed",),
}
TERMINAL: Final = ("response.completed", "response.incomplete", "response.failed")
CONSTANT: Final = ("created_at", "object")
"""Top-level facts that are the same in every event; the id has a code of its own, and a gateway may reroute `model`."""
NAMELESS: Final = "response.shell_call_command."
"""Events inside an item that say its place and not its id."""
REENCRYPTED: Final = ("encrypted_content", "fingerprint")
"""OpenAI encrypts anew between `output_item.done` and the terminal event."""


class ResponsesChecker(framing.Checker):
    """The events of one Responses stream, in order; of frames the event line must be there and say the type."""

    unit = "event"

    def __init__(self) -> None:
        super().__init__()
        self._sequence = 0
        self._state = "start"  # start -> run -> [errored] -> end
        self._first: dict[str, Any] | None = None
        self._in_progress = False
        self._items: list[ItemBody] = []

    def _named(self, name: str | None, event: Any) -> list[Violation]:
        kind = event.get("type") if isinstance(event, dict) else None
        if name is None:
            what = "no event line" if kind is None else f"no event line for {kind}"
            return [Violation("sse.event_missing", f"event[{self._n}]", what)]
        if name != kind:
            return [Violation("sse.event_mismatch", f"event[{self._n}]", f"event line {name}, type {kind}")]
        return []

    def end(self) -> list[Violation]:
        if self._state == "start":
            return [Violation("empty", "end", "no events")]
        if self._state == "run":
            return [Violation("no_terminal", "end", "no response.completed, .incomplete, .failed or error")]
        return []

    # ------------------------------------------------------------------------------------------------- the stream

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        sequence = event.get("sequence_number")
        if not isinstance(sequence, int) or isinstance(sequence, bool):
            self._broken("seq", "sequence_number is missing or no integer")
        else:
            if sequence != self._sequence:
                self._broken("seq", f"sequence_number {sequence}, expected {self._sequence}")
            self._sequence = sequence + 1
        if self._state == "end":
            self._broken("after_terminal", f"{kind} after the terminal event")
        elif self._state == "errored" and kind != "response.failed":
            self._broken("after_error", f"{kind} after error; only response.failed may follow")
        else:
            if self._state == "start" and kind not in ("response.created", "error"):
                self._broken("first_event", f"the first event is {kind}, expected response.created")
                self._state = "run"
            self._dispatch(kind, event)

    def _dispatch(self, kind: Any, event: dict[str, Any]) -> None:
        if not isinstance(kind, str):
            self._broken("event.unknown", f"an event of type {shown(kind)}")
        elif ":" in kind:  # an extension event of Open Responses; clients ignore it
            return
        elif kind in STATUS_OF_EVENT:
            self._lifecycle(kind, event)
        elif kind == "error":
            self._state = "errored"
            if "message" not in event and isinstance(event.get("error"), dict):
                self._broken("error.nested_only", "the error event lacks the flat code, message and param")
        elif kind == "response.output_item.added":
            self._added(event)
        elif kind == "response.output_item.done":
            self._done(event)
        elif (check := BODY_EVENTS.get(kind)) is not None:
            self._in_body(kind, event, check)
        elif any(body.index == event.get("output_index") for body in self._items):
            self._in_body(kind, event, named_after)
        elif not kind.startswith("response.audio"):
            self._broken("event.unknown", f"{kind} is no event of the API")

    # ---------------------------------------------------------------------------------------------- its lifecycle

    def _lifecycle(self, kind: str, event: dict[str, Any]) -> None:
        response = event.get("response")
        if not isinstance(response, dict):
            self._broken("malformed", f"{kind} without a response object")
            return
        if self._state == "start":
            self._state = "run"
        elif kind == "response.created":
            self._broken("created.repeat", "a second response.created")
        if self._first is None:
            self._first = response
        if not isinstance(response.get("id"), str):
            self._broken("malformed", f"{kind} without a response id")
        if response.get("id") != self._first.get("id"):
            self._broken("response.id", f"response.id {shown(response.get('id'))}, was {shown(self._first.get('id'))}")
        for key in CONSTANT:
            if response.get(key) != self._first.get(key):
                self._broken(
                    "response.unstable", f"{key} {shown(response.get(key))}, was {shown(self._first.get(key))}"
                )
        if response.get("status") not in STATUS_OF_EVENT[kind]:
            self._broken("response.status", f"{kind} with status {shown(response.get('status'))}")
        if kind in TERMINAL:
            self._terminal(kind, response)
        else:
            self._prologue(kind, response)

    def _prologue(self, kind: str, response: dict[str, Any]) -> None:
        if kind == "response.in_progress":
            if self._in_progress:
                self._broken("in_progress.repeat", "a second response.in_progress")
            self._in_progress = True
        if kind == "response.queued" and self._in_progress:
            self._broken("queued.late", "response.queued after response.in_progress")
        if self._items:
            self._broken("lifecycle.late", f"{kind} after output items have started")
        if response.get("error") is not None:
            self._broken("error.early", f"{kind} carries an error")
        if response.get("output"):
            self._broken("output.early", f"{kind} carries output, which the events bring once more")

    def _terminal(self, kind: str, response: dict[str, Any]) -> None:
        self._state = "end"
        details, error, output = (response.get(key) for key in ("incomplete_details", "error", "output"))
        if kind == "response.completed":
            if error is not None:
                self._broken("completed.error", "response.completed carries an error")
            if details is not None:
                self._broken("completed.incomplete", "response.completed carries incomplete_details")
            unfinished = [body.index for body in self._items if body.status == "incomplete"]
            if unfinished and isinstance(output, list):
                self._broken("completed.incomplete_item", f"response.completed, but items {unfinished} are incomplete")
        elif kind == "response.incomplete":
            if not (isinstance(details, dict) and details.get("reason")):
                self._broken("incomplete.reason", "response.incomplete without incomplete_details.reason")
        elif not isinstance(error, dict):
            self._broken("failed.error", "response.failed without an error object")
        if isinstance(output, list):
            self._output(output, failed=kind == "response.failed")

    def _output(self, output: list[Any], *, failed: bool) -> None:
        if not failed:
            still_open = [body.index for body in self._items if body.done is None]
            if still_open:
                self._broken("item.open_at_end", f"terminal event while items {still_open} are open")
            if len(output) != len(self._items):
                self._broken("output.count", f"{len(output)} items in the terminal event, {len(self._items)} streamed")
        for position, (final, body) in enumerate(zip(output, self._items, strict=False)):
            if body.done is not None and final != body.done and _opened(final) != _opened(body.done):
                self._broken("output.mismatch", f"output[{position}] differs from its output_item.done")

    # -------------------------------------------------------------------------------------------------- its items

    def _added(self, event: dict[str, Any]) -> None:
        item, index = event.get("item"), event.get("output_index")
        if not isinstance(item, dict):
            self._broken("malformed", "output_item.added without an item object")
            return
        if any(body.index == index for body in self._items):
            self._broken("item.reused_index", f"output_index {index} added twice")
        elif index != len(self._items):
            self._broken("item.index", f"output_index {shown(index)}, expected {len(self._items)}")
        for body in self._items:
            if body.status == "incomplete":
                self._broken("item.after_incomplete", f"item {shown(index)} after incomplete item {body.index}")
        own_id = item.get("id")
        if not own_id or not isinstance(own_id, str):
            self._broken("item.id", f"a {shown(item.get('type'))} item without an id")
        elif any(body.id == own_id for body in self._items):
            self._broken("item.id_dup", f"item id {own_id!r} used twice")
        body = ItemBody(item, index)
        for code, message in body.opened([other.added for other in self._items]):
            self._broken(code, message)
        self._items.append(body)

    def _done(self, event: dict[str, Any]) -> None:
        body = self._item(event)
        item = event.get("item")
        if not isinstance(item, dict):
            self._broken("malformed", "output_item.done without an item object")
        elif body is not None and body.done is None:
            for code, message in body.closed(item):
                self._broken(code, message)

    def _in_body(self, kind: str, event: dict[str, Any], check: Check) -> None:
        body = self._item(event)
        if not isinstance(event.get("item_id"), str) and not kind.startswith(NAMELESS):
            self._broken("malformed", f"{kind} without item_id")
        if body is not None:
            for code, message in check(body, kind, event):
                self._broken(code, message)

    def _item(self, event: dict[str, Any]) -> ItemBody | None:
        """The item that an event is about, with the rules that hold for every such event."""
        kind, index = event.get("type"), event.get("output_index")
        if not isinstance(index, int):
            self._broken("malformed", f"{kind} without output_index")
            return None
        body = next((body for body in self._items if body.index == index), None)
        if body is None:
            self._broken("item.unknown", f"{kind} for output_index {index}, which was never added")
            return None
        if "item_id" in event and event["item_id"] != body.id:
            self._broken("item.id_mismatch", f"item_id {shown(event['item_id'])}, but item {index} is {body.id!r}")
        if body.done is not None:
            self._broken("item.after_done", f"{kind} after output_item.done of item {index}")
        return body


def _opened(item: Any) -> Any:
    return {key: value for key, value in item.items() if key not in REENCRYPTED} if isinstance(item, dict) else item


def check_responses(stream: framing.Streamed) -> list[Violation]:
    """What a whole Responses stream breaks: raw bytes, frames, or parsed events (which have no event lines to check)."""
    return ResponsesChecker().whole(stream)
