"""Scenarios with servers that sign what their models say, and refuse a history in which a signature is missing.

Gemini signs the first call of an answer (`extra_content`), and refuses turns in which it comes back without; a text's signature
it only likes to see again. OpenRouter hands on what several makers sign and encrypt (`reasoning_details`).
"""

from __future__ import annotations

import json

from adapter.conform.peers import Answer, Line, Torn, Turn, fails
from adapter.conform.speaking import Spoken, chat_chunks
from tests.e2e.codex.families import NEWEST, OLDEST, Body, Family, Item, answer, says, text
from tests.e2e.codex.rig import Lane, Run
from tests.e2e.codex.scenario import Scenario, events_of

SUMMARY = "The password is swordfish."


def signature(of: str) -> Item:
    """What Gemini's OpenAI-compatible endpoint puts beside a call or a text."""
    return {"google": {"thought_signature": f"sig/{of}+A=="}}


def signed(item: Item, of: str = "") -> Item:
    """The item with its signature."""
    return {**item, "extra_content": signature(of or item["call_id"])}


def calling(body: Body) -> list[Item]:
    """The messages of a request that have calls."""
    return [message for message in body["messages"] if message.get("tool_calls")]


def refused(body: Body) -> Line | None:
    """What Gemini says of a history in which a first call of an answer has lost its signature."""
    firsts = [message["tool_calls"][0] for message in calling(body)]
    if all(first.get("extra_content") == signature(first["id"]) for first in firsts):
        return None
    return fails(400, "Function call is missing a thought_signature in functionCall parts.")


class Gemini(Scenario):
    """Calls over several turns, two of them at once, a compaction amid them, and a run that goes on with it all."""

    server = "gemini"
    commands_at_once = 2
    prompts = ("go", "plums again")
    config = "model_auto_compact_token_limit = 50000"

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "" if lane == "chat" else "Gemini signs in Chat Completions"

    def script(self, family: Family) -> list[Turn]:
        def turn(body: Body) -> Answer:
            if (refusal := refused(body)) is not None:
                return refusal
            history = json.dumps(body)
            if "CONTEXT CHECKPOINT" in history or "You write the handoff" in history:
                return says(SUMMARY)
            steps = len(calling(body))
            if SUMMARY not in history:
                if steps == 0:
                    first, second = family.shell(body, "echo 1", "a"), family.shell(body, "echo 2", "b")
                    return answer(text("I look."), signed(first), second)
                return answer(signed(family.shell(body, "echo 3", "c")), tokens=20_000 if steps == 1 else 60_000)
            if "plums again" not in history:
                if steps == 0:
                    return answer(signed(family.shell(body, "echo 4", "d")))
                return answer(signed(text("done"), "done"))
            if steps == 1:
                return answer(signed(family.shell(body, "echo 5", "e")))
            told = [
                m.get("extra_content") for m in body["messages"] if m["role"] == "assistant" and m["content"] == "done"
            ]
            return says("done again" if told == [signature("done")] else f"the text came back with {told}")

        return [turn]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["I look.", "done", "done again"]
        assert run.failure == ""


class GeminiCompactedHere(Gemini):
    """The same where the adapter makes the history short."""

    flags = ("-c", 'model_providers.adapter.name="OpenAI"')
    gives_up = True


class GeminiDies(Gemini):
    """The connection breaks behind a signed call, which Codex runs and keeps: its signature is kept, too."""

    prompts = ("go",)

    def script(self, family: Family) -> list[Turn]:
        def broken(body: Body) -> Answer:
            torn = answer(signed(family.shell(body, "echo 1", "a")), text("and now for something else"))
            return Torn(torn, events_of(torn, body) - 5)

        return [broken, lambda body: refused(body) or says("whole")]

    def check(self, run: Run, family: Family) -> None:
        assert run.final == "whole"
        assert bool(calling(run.requests[-1])) == (run.version == NEWEST), f"{OLDEST} forgets what it ran"


class GeminiCut(Gemini):
    """An answer that is cut for its length behind a signed call ends the turn, but not the session."""

    prompts = ("go", "plums again")
    gives_up = True

    def script(self, family: Family) -> list[Turn]:
        def turn(body: Body) -> Answer:
            if "plums again" in json.dumps(body):
                return refused(body) or says("whole")
            items = signed(family.shell(body, "echo 1", f"a{len(calling(body))}")), text("and n")
            return refused(body) or answer(*items, status="incomplete", reason="max_output_tokens")

        return [turn]

    def check(self, run: Run, family: Family) -> None:
        assert "max_output_tokens" in run.failure
        assert run.final == "whole"
        assert calling(run.requests[-1])


class OpenRouter(Scenario):
    """What was thought before a call comes back with it as it was: the text, its signature and what is encrypted, in this order."""

    server = "openrouter"
    prompts = ("go", "plums again")

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "" if lane == "chat" else "its reasoning details are of Chat Completions"

    def script(self, family: Family) -> list[Turn]:
        def turn(body: Body) -> Answer:
            said = [message for message in body["messages"] if message["role"] == "assistant"]
            if [message.get("reasoning_details") for message in said] != [details(place) for place in range(len(said))]:
                return fails(400, "Gemini models require OpenRouter reasoning details to be preserved in each request.")
            if "reasoning" in json.dumps([list(message) for message in said]).replace("reasoning_details", ""):
                return fails(400, "Invalid `signature` in `thinking` block")
            place = len(said)
            call = family.shell(body, f"echo {place}", f"{place}")
            return thinking(says(f"done {place}") if place in (2, 4) else answer(text("I look."), call), place)

        return [turn]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["I look.", "I look.", "done 2", "I look.", "done 4"]
        assert run.failure == ""


def details(place: int) -> list[Item]:
    """What was thought before the answer at this place."""
    return [
        {"type": "reasoning.text", "text": f"Step {place}.", "signature": f"sig/{place}", "format": "f", "index": 0},
        {"type": "reasoning.encrypted", "data": f"gAAA{place}", "id": f"rs_{place}", "format": "f", "index": 1},
    ]


def thinking(spoken: Spoken, place: int) -> Line:
    """An answer as OpenRouter streams it: the text in fragments, its signature alone, what is encrypted behind all."""
    whole, encrypted = details(place)
    fragments = [
        {"reasoning": text, "reasoning_details": [{**whole, "text": text, "signature": None}]}
        for text in (whole["text"][:3], whole["text"][3:])
    ]
    signed = {key: value for key, value in whole.items() if key != "text"}
    first, *rest = chat_chunks(spoken)
    bare = json.dumps(first)
    deltas = [first["choices"][0]["delta"] | delta for delta in (*fragments, {"reasoning_details": [signed]})]
    before = [json.loads(bare) for _ in deltas]
    for chunk, delta in zip(before, deltas, strict=True):
        chunk["choices"][0]["delta"] = delta
    late = json.loads(bare)
    late["choices"][0]["delta"] = {"content": "", "reasoning_details": [encrypted]}
    end = next(at for at, chunk in enumerate(rest) if chunk["choices"][0]["finish_reason"])
    chunks = [*before, *rest[:end], late, *rest[end:]]
    return Line(
        streamed=b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    )


SIGNED: tuple[Scenario, ...] = (Gemini(), GeminiCompactedHere(), GeminiDies(), GeminiCut(), OpenRouter())
