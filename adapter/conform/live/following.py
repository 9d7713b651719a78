"""What must hold of answers that follow from another one, and of those that no model gives. As `laws`, and pure as they are."""

from __future__ import annotations

from typing import Final

from adapter.conform.laws import Findings, events_of
from adapter.conform.live.case import Case
from adapter.conform.live.shapes import MOMENT, SECONDS, WORD, Kinds, Wanted, lacks
from adapter.hub.grammar.violation import shown

AFTER: Final = 2
"""The last event that a client got whose stream is gone on from."""
_ITEMS: Final[Wanted] = {
    "object": "list",
    "data": [{"type": WORD, "id": WORD, "content?": (None, [{"text?": (None, str)}])}],
    "has_more": bool,
    "first_id": str,
    "last_id": str,
}
_COUNTED: Final[Wanted] = {"object": "response.input_tokens", "input_tokens": int}
_CONVERSATION: Final[Wanted] = {"id": WORD, "object": "conversation", "created_at": SECONDS}
_MODELS: Final[Wanted] = {
    "object": "list",
    "data": [{"id": WORD, "object": "model", "created": SECONDS, "owned_by": str}],
}
_COMPACTION: Final[Wanted] = {
    "id": WORD,
    "object": "response.compaction",
    "created_at": MOMENT,
    "output": [
        Kinds(
            {
                "compaction": {"id": WORD, "encrypted_content": WORD},
                "message": {"id": WORD, "role": str, "content": [{"type": str}]},
            }
        )
    ],
}


def counts_what_is_added(case: Case) -> Findings:
    """A request that adds to a conversation, with results of calls or by previous_response_id, has more input tokens than the one
    before it (OpenAPI file, prompt_tokens and input_tokens; guide to conversation state): else the model did not see it all.
    """
    if case.before is None or case.value.get("usage") is None or case.before.value.get("usage") is None:
        return []
    now, before = (case.dialect.usage(one.value).input for one in (case, case.before))
    return [f"{now} input tokens, and {before} without what was added"] if now <= before else []


def is_what_was_said(case: Case) -> Findings:
    """A stored response is fetched as it was answered (OpenAPI file, getResponse)."""
    assert case.before is not None
    read = {
        "id": lambda value: value["id"],
        "status": lambda value: value["status"],
        "text": case.dialect.text,
        "calls": case.dialect.calls,
        "ids of items": case.dialect.item_ids,
    }
    both = [(what, look(case.value), look(case.before.value)) for what, look in read.items()]
    return [f"{what}: fetched {shown(now)}, answered {shown(before)}" for what, now, before in both if now != before]


def lists_its_input(case: Case) -> Findings:
    """The input of a stored response is listed as items with types and ids (OpenAPI file, ResponseItemList)."""
    assert case.before is not None
    found = list(lacks(case.value, _ITEMS))
    text = case.before.body["input"]
    return (
        found if found or text in case.answer.raw.decode() else [f"{shown(text)} is not in it: {case.answer.excerpt}"]
    )


def counts_its_input(case: Case) -> Findings:
    """Tokens of an input are counted as those of an answer are, and more of them for more (OpenAPI file, TokenCountsResource):
    agents decide by it when to compact.
    """
    found = list(lacks(case.value, _COUNTED))
    if found:
        return found
    now, before = (0 if one is None else one.value["input_tokens"] for one in (case, case.before))
    return [f"{now} input tokens, and {before} of less"] if now <= before else []


def is_a_conversation(case: Case) -> Findings:
    """A conversation that is made has the fields that the OpenAPI file requires (ConversationResource)."""
    return list(lacks(case.value, _CONVERSATION))


def holds_what_was_said(case: Case) -> Findings:
    """A conversation lists what was asked and what was answered in it (guide to conversation state): else it is not gone on from."""
    assert case.before is not None
    found = list(lacks(case.value, _ITEMS))
    if found:
        return found
    said = {part.get("text") for item in case.value["data"] for part in item.get("content") or ()}
    wanted = case.before.body["input"], case.dialect.text(case.before.value)
    return [f"{shown(text)} is not in it: {case.answer.excerpt}" for text in wanted if text and text not in said]


def goes_on_behind(case: Case) -> Findings:
    """A stream that is fetched with `starting_after` has the events behind that one, with their own numbers (guide to background
    mode): a client goes on where its connection broke.
    """
    numbers = [event.get("sequence_number") for event in events_of(case.answer.raw)]
    due = list(range(AFTER + 1, AFTER + 1 + len(numbers)))
    return [] if numbers == due else [f"starting_after={AFTER}, and the events are {shown(numbers)}"]


def is_not_kept(case: Case) -> Findings:
    """What was answered under `store: false` cannot be fetched (OpenAPI file, store): it may be what nobody is to keep."""
    return [f"it can be fetched: {case.answer.excerpt}"] if case.answer.status == 200 else []


def is_compacted(case: Case) -> Findings:
    """A compaction has the fields that the OpenAPI file requires (CompactResource) and exactly one compaction item, by which Codex
    and other agents go on."""
    found = list(lacks(case.value, {**_COMPACTION, "usage": case.dialect.usage_shape}))
    if found:
        return found
    count = sum(item["type"] == "compaction" for item in case.value["output"])
    return [] if count == 1 else [f"{count} compaction items, expected 1"]


def lists_its_models(case: Case) -> Findings:
    """The models are a list with the fields that the OpenAPI file requires (ListModelsResponse), of those that are available
    (listModels): one answers at least. Clients let their users choose.
    """
    found = list(lacks(case.value, _MODELS))
    return found if found or case.value["data"] else ["no model is listed, and one answers"]
