"""Scenarios in which the model works: text, tools, patches, images, memory."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any

from adapter.conform.acting import use
from adapter.conform.peers import Turn
from tests.e2e.codex.families import NEWEST, OLDEST, Body, Family, answer, says, text, thought
from tests.e2e.codex.rig import Lane, Run
from tests.e2e.codex.scenario import Scenario

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}},
    "required": ["answer"],
    "additionalProperties": False,
}
CREATE = '*** Begin Patch\n*** Add File: made.txt\n+one\n+"two" \\ ü\n*** End Patch\n'
EDIT = '*** Begin Patch\n*** Update File: made.txt\n@@\n-one\n+uno\n "two" \\ ü\n*** End Patch\n'
MCP = f"""
[mcp_servers.echo]
command = {json.dumps(sys.executable)}
args = [{json.dumps(str(Path(__file__).with_name("mcp_echo.py")))}]
"""


class PlainText(Scenario):
    """Text comes through as it was said."""

    def script(self, family: Family) -> list[Turn]:
        return [says('Grüße, "world" – 😀\nsecond line')]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ['Grüße, "world" – 😀\nsecond line']
        assert len(run.requests) == 1


class ShellThenText(Scenario):
    """A command runs, its output comes back, the model goes on."""

    def script(self, family: Family) -> list[Turn]:
        return [
            lambda body: answer(family.shell(body, "echo made > shell.txt; echo out-$((40+2))")),
            lambda body: says("saw 42" if "out-42" in json.dumps(body) else "saw nothing"),
        ]

    def check(self, run: Run, family: Family) -> None:
        assert (run.work / "shell.txt").read_text() == "made\n"
        assert run.messages == ["saw 42"]
        assert len(run.requests) == 2


class TextAndCall(Scenario):
    """Text and a call in one answer: both are there, in this order, and both stay in the history."""

    def script(self, family: Family) -> list[Turn]:
        return [
            lambda body: answer(text("I will look."), family.shell(body, "echo x > looked.txt")),
            lambda body: says("kept" if "I will look." in json.dumps(body) else "lost"),
        ]

    def check(self, run: Run, family: Family) -> None:
        assert (run.work / "looked.txt").exists()
        assert run.messages == ["I will look.", "kept"]


class Patch(Scenario):
    """The custom tool apply_patch creates a file and edits it."""

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "" if family.patches else "a model that Codex does not know is not offered apply_patch"

    def script(self, family: Family) -> list[Turn]:
        return [
            lambda body: answer(family.patch(body, CREATE, "create")),
            lambda body: answer(family.patch(body, EDIT, "edit")),
            says("patched"),
        ]

    def check(self, run: Run, family: Family) -> None:
        assert (run.work / "made.txt").read_text() == 'uno\n"two" \\ ü\n'
        assert run.final == "patched"


class WrappedPatch(Patch):
    """A model that has not learnt the grammar puts things around its patches; each patch is applied at once."""

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        if family.code:
            return "patches are in scripts"
        return (
            "a server that has custom tools holds to their grammar"
            if lane == "responses"
            else super().excluded(family, version, lane)
        )

    def script(self, family: Family) -> list[Turn]:
        starred = EDIT.replace("*** Begin Patch", "*** Begin Patch ***").replace("*** End Patch", "*** End Patch ***")
        command = {"command": ["bash", "-lc", f"apply_patch <<'PATCH'\n{starred}PATCH\n"]}
        return [
            lambda body: answer(family.patch(body, f"```patch\n{CREATE}```", "create")),
            lambda body: answer(use(body, "apply_patch", command, id="edit")),
            says("patched"),
        ]

    def check(self, run: Run, family: Family) -> None:
        super().check(run, family)
        assert "verification failed" not in run.history()
        assert len(run.requests) == 3


class TwoCalls(Scenario):
    """Two calls in one answer: both run, both are answered, in the order of the calls."""

    commands_at_once = 2

    def script(self, family: Family) -> list[Turn]:
        return [
            lambda body: answer(
                family.shell(body, "echo a > a.txt; echo first-$((1+0))", "a"),
                family.shell(body, "echo b > b.txt; echo second-$((1+1))", "b"),
            ),
            says("both"),
        ]

    def check(self, run: Run, family: Family) -> None:
        assert (run.work / "a.txt").exists()
        assert (run.work / "b.txt").exists()
        history = run.history()
        assert 0 < history.index("first-1") < history.index("second-2")
        assert run.final == "both"


def _is_output(one: dict[str, Any]) -> bool:
    return one.get("role") == "tool" or str(one.get("type")).endswith("_output")


class SameIds(Scenario):
    """A server that gives all calls the same id: each gets its own output."""

    commands_at_once = 2

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "the raw lane passes an upstream's own ids" if lane == "responses" else ""

    def script(self, family: Family) -> list[Turn]:
        return [
            lambda body: answer(family.shell(body, "echo first-$((1+0))"), family.shell(body, "echo second-$((1+1))")),
            lambda body: answer(family.shell(body, "echo third-$((1+2))")),
            says("three"),
        ]

    def check(self, run: Run, family: Family) -> None:
        asked = run.requests[-1]
        outputs = [json.dumps(one) for one in asked.get("messages", asked.get("input")) if _is_output(one)]
        assert [word in output for word, output in zip(("first-1", "second-2", "third-3"), outputs, strict=True)] == [
            True
        ] * 3
        assert run.final == "three"


class Plan(Scenario):
    """A plan is kept by update_plan."""

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "" if version == OLDEST else f"{NEWEST} offers no update_plan"

    def script(self, family: Family) -> list[Turn]:
        steps = [{"step": "look", "status": "completed"}, {"step": "leap", "status": "in_progress"}]
        return [lambda body: answer(use(body, "update_plan", {"plan": steps}, id="plan")), says("planned")]

    def check(self, run: Run, family: Family) -> None:
        assert [item["text"] for item in run.items("todo_list")[-1]["items"]] == ["look", "leap"]
        assert run.final == "planned"


class PromptImage(Scenario):
    """An image that the user gives reaches the model as an image."""

    flags = ("--image={folder}/project/pixel.png",)

    def prepare(self, work: Path) -> None:
        (work / "pixel.png").write_bytes(base64.b64decode(PIXEL))

    def script(self, family: Family) -> list[Turn]:
        return [says("a pixel")]

    def check(self, run: Run, family: Family) -> None:
        assert images(run.requests[0]) == 1
        assert run.final == "a pixel"


class Mcp(Scenario):
    """A tool of an MCP server is called through its namespace, found by tool_search where it is deferred."""

    config = MCP

    def script(self, family: Family) -> list[Turn]:
        search: list[Turn] = [lambda body: answer(use(body, "tool_search", {"query": "echo say"}, id="search"))]
        return [
            *(search if family.searches else ()),
            lambda body: answer(family.echo(body, "hello mcp")),
            lambda body: says("heard" if "HELLO MCP!" in json.dumps(body) else "heard nothing"),
        ]

    def check(self, run: Run, family: Family) -> None:
        assert run.final == "heard"
        assert len(run.requests) == (3 if family.searches else 2)


class ViewImage(Scenario):
    """An image that the model asks for reaches it as an image."""

    def prepare(self, work: Path) -> None:
        (work / "pixel.png").write_bytes(base64.b64decode(PIXEL))

    def script(self, family: Family) -> list[Turn]:
        return [lambda body: answer(family.look(body, "pixel.png")), says("a pixel")]

    def check(self, run: Run, family: Family) -> None:
        assert images(run.requests[1]) == 1
        assert run.final == "a pixel"


class Reasoning(Scenario):
    """Reasoning between tool turns goes back to the server that wants it; a blob comes back untouched."""

    server = "thinks"

    def script(self, family: Family) -> list[Turn]:
        return [
            lambda body: answer(thought("First I list."), family.shell(body, "echo 1", "one")),
            lambda body: answer(thought("Then I count."), family.shell(body, "echo 2", "two")),
            says("done thinking"),
        ]

    def check(self, run: Run, family: Family) -> None:
        assert run.final == "done thinking"
        assert reasoning(run.requests[-1]) == [("First I list.", "gAAAA+blob/=="), ("Then I count.", "gAAAA+blob/==")]


class Thoughtless(Scenario):
    """A server that refuses a history in which an answer lacks its reasoning takes one that had none."""

    server = "deepseek"
    prompts = ("go", "go on")

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "" if lane == "chat" else "such servers speak Chat Completions only"

    def script(self, family: Family) -> list[Turn]:
        return [
            lambda body: answer(thought("First I list."), family.shell(body, "echo 1", "one")),
            lambda body: answer(family.shell(body, "echo 2", "two")),
            answer(thought("That was it."), text("listed")),
            says("went on"),
        ]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["listed", "went on"]
        said = [m["reasoning_content"] for m in run.requests[-1]["messages"] if m["role"] == "assistant"]
        assert said == ["First I list.", " ", "That was it."]


class OutputSchema(Scenario):
    """--output-schema reaches the server as a schema, and its JSON comes back as the final message."""

    flags = ("--output-schema", "{folder}/project/schema.json")

    def prepare(self, work: Path) -> None:
        (work / "schema.json").write_text(json.dumps(SCHEMA))

    def script(self, family: Family) -> list[Turn]:
        return [says('{"answer":42}')]

    def check(self, run: Run, family: Family) -> None:
        body = run.requests[0]
        asked = body["response_format"]["json_schema"] if "messages" in body else body["text"]["format"]
        assert asked["schema"] == SCHEMA
        assert json.loads(run.final) == {"answer": 42}


class LocalCompaction(Scenario):
    """Over the token limit Codex has its history summarised, and goes on with what the summary says."""

    config = "model_auto_compact_token_limit = 50000"

    def script(self, family: Family) -> list[Turn]:
        def turn(body: Body) -> Any:
            history = json.dumps(body)
            if "CONTEXT CHECKPOINT" in history:
                return says("The password is swordfish." if "SWORDFISH" in history else "Nothing happened.")
            if "swordfish" in history and "SWORDFISH" not in history:
                return says("I remember swordfish")
            return answer(family.shell(body, "echo swordfish | tr a-z A-Z"), tokens=60_000)

        return [turn]

    def check(self, run: Run, family: Family) -> None:
        assert run.final == "I remember swordfish"
        assert len(run.requests) == 3


class Resume(Scenario):
    """`codex exec resume` goes on where the last run ended."""

    prompts = ("remember the plum", "what was it?")

    def script(self, family: Family) -> list[Turn]:
        return [
            lambda body: answer(family.shell(body, "echo noted-$((6*7))")),
            says("Noted."),
            lambda body: says(
                "the plum" if all(w in json.dumps(body) for w in ("plum", "Noted.", "noted-42")) else "?"
            ),
        ]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["Noted.", "the plum"]


class MissingUsage(Scenario):
    """A server that reports no usage: every turn ends well, and what Codex counts is an estimate."""

    def script(self, family: Family) -> list[Turn]:
        return [lambda body: answer(family.shell(body, "echo hi"), usage={}), says("uncounted", usage={})]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["uncounted"]
        assert len(run.requests) == 2
        (ended,) = [event for event in run.events if event["type"] == "turn.completed"]
        if "messages" in run.requests[0]:
            assert ended["usage"]["input_tokens"] > 1000


class OddUsage(Scenario):
    """A server whose usage lacks what Codex wants: it would take the stream for broken and ask again."""

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "usage of Chat servers is always written anew" if lane == "chat" else ""

    def script(self, family: Family) -> list[Turn]:
        return [says("once", usage={"input_tokens": 100, "output_tokens": 10, "input_tokens_details": {}})]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["once"]
        assert len(run.requests) == 1


class BadArguments(Scenario):
    """Arguments that are no JSON go back to the model as an error, and it gets another try."""

    def script(self, family: Family) -> list[Turn]:
        return [
            lambda body: answer(family.garbled(body)),
            lambda body: says("corrected" if "failed to parse function arguments" in json.dumps(body) else "unaware"),
        ]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["corrected"]


class NoArguments(Scenario):
    """A call with empty arguments is one with no arguments."""

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        if version == OLDEST or family.code:
            return "no tool without required arguments is offered"
        return "the raw lane passes an upstream's own arguments" if lane == "responses" else ""

    def script(self, family: Family) -> list[Turn]:
        return [lambda body: answer(use(body, "get_goal", "", id="0")), says("no goal")]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["no goal"]
        assert "failed to parse" not in run.history()


class Notified(Scenario):
    """What a script notifies the model of reaches it, though the call that runs it has its output already."""

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "" if family.code else "no scripts run"

    def script(self, family: Family) -> list[Turn]:
        source = 'notify("it is " + 6 * 7); text("whole")'
        return [
            lambda body: answer(family.script(body, source, "0")),
            lambda body: says("heard" if "it is 42" in json.dumps(body) else "heard nothing"),
        ]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["heard"]


class Goal(Scenario):
    """A goal goes through several turns: its objective is told by a tool that nobody called, and reaches the model."""

    prompts = ("go", "how is it going?")

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "no goals are offered to be set" if version == OLDEST or family.code else ""

    def script(self, family: Family) -> list[Turn]:
        def turn(body: Body) -> Any:
            history = json.dumps(body)
            if "create_goal_1" not in history:
                return answer(use(body, "create_goal", {"objective": "count the plums"}, id="create_goal_1"))
            if "update_goal_1" not in history and "how is it" in history:
                return answer(use(body, "update_goal", {"status": "complete"}, id="update_goal_1"))
            return says("counting" if history.count("count the plums") > 1 else "which goal?")

        return [turn]

    def check(self, run: Run, family: Family) -> None:
        assert set(run.messages) == {"counting"}
        assert run.failure == ""


class SubAgent(Scenario):
    """An agent that is sent out gets its task, and its result reaches the one that waits for it."""

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "its tools wait behind tool_search" if family.searches else ""

    def script(self, family: Family) -> list[Turn]:
        space = "collaboration" if family.code else "multi_agent_v1"
        task: dict[str, Any] = {"message": "TASK: count the plums"} | ({"task_name": "plums"} if family.code else {})

        def turn(body: Body) -> Any:
            history = json.dumps(body)
            if "five plums" in history:
                return says("it is five")
            if "call_spawn" not in history:
                if "TASK: count" in history:  # told alone, where no history is inherited
                    return says("five plums")
                return answer(use(body, "spawn_agent", task, namespace=space, id="spawn"))
            if '"aborted"' in history:  # the history is the other's, who was not waited for
                return says("five plums" if history.count("TASK: count") > 1 else "no task")
            if "call_wait" not in history:
                found = re.findall(r'agent_id[\\\\]*":[\\\\]*"([^"\\\\]+)', history)
                waited = {"timeout_ms": 20_000} | ({} if family.code else {"targets": found})
                return answer(use(body, "wait_agent", waited, namespace=space, id="wait"))
            return says("nobody knows")

        return [turn]

    def check(self, run: Run, family: Family) -> None:
        assert set(run.messages) == {"it is five"}  # 0.120.0 asks again where the result comes twice
        if "messages" in run.requests[0]:
            kept = "".join(path.read_text() for path in (run.work.parent / "home").rglob("rollout-*.jsonl"))
            assert "TASK: count" in kept
            assert '"encrypted_content":"TASK' not in kept


def images(body: Body) -> int:
    """How many images a request holds."""
    if "messages" in body:
        parts = [
            part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]
        ]
        return sum(part["type"] == "image_url" and PIXEL[:20] in part["image_url"]["url"] for part in parts)
    lists = [item.get(key) for item in body["input"] for key in ("content", "output")]
    parts = [part for parts in lists if isinstance(parts, list) for part in parts]
    return sum(part["type"] == "input_image" and PIXEL[:20] in part["image_url"] for part in parts)


def reasoning(body: Body) -> list[tuple[str, str]]:
    """The reasoning in a request: its text and its blob (a Chat message has none of its own)."""
    if "messages" in body:
        return [(m["reasoning_content"], "gAAAA+blob/==") for m in body["messages"] if m.get("reasoning_content")]
    items = [item for item in body["input"] if item["type"] == "reasoning"]
    return [(item["content"][0]["text"], item["encrypted_content"]) for item in items]


WORK: tuple[Scenario, ...] = (
    PlainText(),
    ShellThenText(),
    TextAndCall(),
    Patch(),
    WrappedPatch(),
    TwoCalls(),
    SameIds(),
    Plan(),
    PromptImage(),
    Mcp(),
    ViewImage(),
    Reasoning(),
    Thoughtless(),
    OutputSchema(),
    LocalCompaction(),
    Resume(),
    MissingUsage(),
    OddUsage(),
    BadArguments(),
    NoArguments(),
    Notified(),
    Goal(),
    SubAgent(),
)
