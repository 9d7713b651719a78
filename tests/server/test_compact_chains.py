"""The law of conversations that are compacted again and again: whoever compacts, through whichever door, however its client goes
on, the model knows all that was said, every call can be answered, and no upstream is asked what a strict one refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.conform.compactors import KINDS, CompactPeer, Kind
from adapter.hub.grammar import check_responses
from tests.conftest import SEARCH
from tests.server.compacting import COMPACT, final, peered
from tests.server.harness import Client, adapter, play

Item = dict[str, Any]


class Step(NamedTuple):
    """One request of a client, and what it does with the answer."""

    door: str
    stream: bool
    named: bool
    """It names the response before, where there is one, and sends what is new."""
    kept: str
    """Of a history that was compacted by a trigger it keeps all, what users said, or the outcome alone."""
    made: str
    """What the model had made before it: a letter for each."""


STEPS = st.builds(
    Step,
    st.sampled_from(["turn", "threshold", "trigger", "endpoint"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["all", "users", "outcome"]),
    st.text("trpco", max_size=3),
)


class Conversation:
    """What a client knows of it."""

    def __init__(self) -> None:
        self.held: list[Item] = []
        self.previous: str | None = None
        self.facts: set[str] = set()
        self.waiting: list[Item] = []
        """Outputs that the client still owes."""

    def fact(self) -> str:
        """A word that only this conversation has."""
        word = f"FACT-{len(self.facts)}"
        self.facts.add(word)
        return word

    def call(self, kind: str, said: str) -> Item:
        """A call, whose output is owed from now on."""
        call_id = f"call_{len(self.facts)}"
        self.waiting.append({"type": f"{kind}_output", "call_id": call_id, "output": self.fact()})
        return {"type": kind, "call_id": call_id, "name": "tool", said: json.dumps({"do": self.fact()})}

    def items(self, made: str, *, leaves_open: bool) -> list[Item]:
        """What a model made; its last calls wait where that may be."""
        out: list[Item] = []
        for letter in made:
            match letter:
                case "t":
                    part = {"type": "output_text", "text": f"{self.fact()}.", "annotations": []}
                    out.append({"type": "message", "role": "assistant", "content": [part]})
                case "r":
                    thought = {"type": "reasoning_text", "text": "hm"}
                    out += [{"type": "reasoning", "summary": [], "content": [thought]}]
                case "p":
                    out += [self.call("function_call", "arguments"), self.call("custom_tool_call", "input")]
                case "c":
                    out.append(self.call("function_call", "arguments"))
                case _:
                    out += self.answers()
        return out if leaves_open else out + self.answers()

    def answers(self) -> list[Item]:
        """All outputs that are owed."""
        owed, self.waiting = self.waiting, []
        return owed

    def user(self) -> Item:
        return {"type": "message", "role": "user", "content": f"{self.fact()} {'word ' * 300}"}


@settings(max_examples=int(SEARCH or 40))
@given(
    kind=st.sampled_from(KINDS), steps=st.lists(STEPS, min_size=2, max_size=6), window=st.sampled_from([None, 4_000])
)
def test_whatever_chain_of_compactions_the_model_knows_all_that_was_said(
    kind: Kind, steps: list[Step], window: int | None
) -> None:
    async def scenario() -> None:
        peer, keys = CompactPeer(kind), {} if window is None else {"window": window}
        with TemporaryDirectory() as folder:
            store = {"url": f"sqlite:///{Path(folder)}/store.db"}
            async with peered(peer, **keys) as section, adapter(section, store=store) as client:
                conversation = Conversation()
                for step in (*steps, Step("turn", False, False, "all", "")):
                    await _step(client, peer, conversation, step)

    play(scenario)


async def _step(client: Client, peer: CompactPeer, known: Conversation, step: Step) -> None:
    compacts = step.door in ("trigger", "endpoint")
    # an upstream's own compaction says itself what becomes of a call that waits
    leaves_open = compacts and peer.kind not in ("compaction", "trigger")
    new = known.items(step.made, leaves_open=leaves_open)
    if not (compacts and known.held):
        new += [*known.answers(), known.user()]
    named = step.named and known.previous is not None and step.door != "endpoint"
    body: dict[str, Any] = {"model": "m", "input": new if named else [*known.held, *new]}
    if named:
        body["previous_response_id"] = known.previous
    if step.door == "endpoint":
        found = await client.post(COMPACT, body)
    else:
        body |= {"store": True, "stream": step.stream}
        if step.door == "trigger":
            body["input"] = [*body["input"], {"type": "compaction_trigger"}]
        elif step.door == "threshold":
            body["context_management"] = [{"type": "compaction", "compact_threshold": 1000}]
        found = await client.post("/v1/responses", body)
    assert found.status == 200, (found.body, peer.problems)
    assert peer.problems == []
    if step.stream and step.door != "endpoint":
        assert check_responses(found.body) == []
    answer = final(found)
    if not compacts:
        assert set(re.findall(r"FACT-\d+", json.dumps(answer["output"][-1]))) == known.facts
    known.previous = None if step.door == "endpoint" else answer["id"]
    kept = [*known.held, *new]
    if step.door == "trigger" and step.kept == "users":
        kept = [item for item in kept if item.get("role") == "user"]
    whole = step.door == "endpoint" or (step.door == "trigger" and step.kept == "outcome")
    known.held = answer["output"] if whole else [*kept, *answer["output"]]
