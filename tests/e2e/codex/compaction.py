"""Scenarios in which the adapter itself makes Codex's history short."""

from __future__ import annotations

import json

from adapter.conform.peers import Answer, Turn
from tests.e2e.codex.families import Body, Family, answer, says
from tests.e2e.codex.rig import Run
from tests.e2e.codex.scenario import Scenario

SUMMARY = "The password is swordfish."


class RemoteCompaction(Scenario):
    """A provider named OpenAI has to compact: by a trigger in the input (0.171.0), at its own endpoint (0.120.0).

    The adapter asks the model for a summary and seals it; the same turn, and a later run, go on with what it says.
    """

    prompts = ("go", "Which password did you note?")
    gives_up = True
    flags = ("-c", 'model_providers.adapter.name="OpenAI"')
    config = "model_auto_compact_token_limit = 50000"

    def script(self, family: Family) -> list[Turn]:
        def turn(body: Body) -> Answer:
            history = json.dumps(body)
            if "You write the handoff" in history:
                return says(SUMMARY if "SWORDFISH" in history else "Nothing happened.")
            if SUMMARY in history:
                return says("It was swordfish" if "Which password" in history else "I remember swordfish")
            return answer(family.shell(body, "echo swordfish | tr a-z A-Z"), tokens=60_000)

        return [turn]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["I remember swordfish", "It was swordfish"]
        assert len(run.requests) == 4
        assert "CONTEXT CHECKPOINT" not in "".join(run.history(n) for n in range(4)), "Codex compacted by itself"


COMPACTION: tuple[Scenario, ...] = (RemoteCompaction(),)
