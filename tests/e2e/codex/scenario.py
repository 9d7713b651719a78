"""What a scenario is: a script for the model, a prompt for Codex, and what must have come of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from adapter.conform.peers import Turn
from adapter.conform.speaking import Spoken, chat_stream, responses_stream
from tests.e2e.codex.families import FAMILIES, VERSIONS, Family
from tests.e2e.codex.rig import LANES, Lane, Rig, Run

TRANSPORTS = ("http", "ws")


class Scenario:
    """One row of the table."""

    prompts: ClassVar[Sequence[str]] = ("go",)
    flags: ClassVar[Sequence[str]] = ()
    config: ClassVar[str] = ""
    """Further lines of config.toml."""
    server: ClassVar[str] = ""
    """The kind of server, one of the rig's; empty for one that wants nothing in particular."""
    retries: ClassVar[int] = 2
    refuses: ClassVar[bool] = False
    """The strict server is meant to find something."""
    commands_at_once: ClassVar[int] = 1
    """How many commands its first answer lets Codex run beside each other."""
    gives_up: ClassVar[bool] = False
    """Some of its requests come over HTTP: Codex leaves the socket in the end, or never takes it for them."""

    @property
    def name(self) -> str:
        """As it stands in the table."""
        return type(self).__name__

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        """Why there is nothing to be tested in a cell; empty where there is."""
        return ""

    def prepare(self, work: Path) -> None:
        """Put files where Codex works."""

    def script(self, family: Family) -> list[Turn]:
        """What the model says, turn by turn."""
        raise NotImplementedError

    def check(self, run: Run, family: Family) -> None:
        """What must have come of it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Cell:
    """One cell of the table."""

    scenario: Scenario
    family: Family
    version: str
    lane: Lane
    transport: str

    @property
    def id(self) -> str:
        """Readable and unique; also the key that finds the script."""
        return "-".join((self.scenario.name, self.family.name, self.version, self.lane, self.transport))

    @property
    def excluded(self) -> str:
        """Why it does not apply; empty where it does."""
        if self.version not in self.family.versions:
            return self.family.elsewhere
        return self.scenario.excluded(self.family, self.version, self.lane)

    def run(self, rig: Rig, folder: Path) -> Run:
        """Let Codex work. Of two commands that it is to run at once, 0.120.0 now and then never begins or never ends one (in one
        of 140 runs, over raw bytes too, while nobody asks the adapter for anything): such a run is done again, once."""
        try:
            return self._run(rig, folder)
        except subprocess.TimeoutExpired as stuck:
            if not _stuck_in_a_command(stuck.stdout or b"", self.scenario.commands_at_once):
                raise
            return self._run(rig, folder / "again")

    def _run(self, rig: Rig, folder: Path) -> Run:
        given = self.scenario
        (folder / "project").mkdir(parents=True)
        given.prepare(folder / "project")
        options: dict[str, Any] = {"prompts": given.prompts, "config": given.config, "retries": given.retries}
        flags = [flag.format(folder=folder) for flag in given.flags]
        model = "-".join(filter(None, (self.family.slug, given.server)))
        script = given.script(self.family)
        options["provider"] = "supports_websockets = true" if self.transport == "ws" else ""
        return rig.run(self.id, folder, self.version, self.lane, model, script, flags=flags, **options)

    def check(self, run: Run) -> None:
        """What holds of every run, then the scenario's own."""
        if not self.scenario.refuses:
            assert run.peer.problems == []
        assert "rerouted" not in run.notices
        assert "unsupported" not in run.history(), "a tool was called as Codex does not know it"
        assert any(run.over_socket) == (self.transport == "ws")
        assert all(run.over_socket) or self.transport == "http" or self.scenario.gives_up
        self.scenario.check(run, self.family)


def _stuck_in_a_command(said: bytes, at_once: int) -> bool:
    """Codex has begun commands of its own, and not ended all of them."""
    events = [json.loads(line) for line in said.splitlines() if line.startswith(b"{")]
    commands = [event for event in events if event.get("item", {}).get("type") == "command_execution"]
    begun, ended = (
        [event for event in commands if event["type"] == kind] for kind in ("item.started", "item.completed")
    )
    return len(begun) > 0 and len(ended) < max(len(begun), at_once)


def events_of(spoken: Spoken, body: dict[str, Any]) -> int:
    """How many events the stream of an answer has."""
    return (chat_stream(spoken) if "messages" in body else responses_stream(spoken)).count(b"\n\n")


def table(scenarios: Sequence[Scenario]) -> list[Cell]:
    """Every cell."""
    return [
        Cell(scenario, family, version, lane, transport)
        for scenario in scenarios
        for family in FAMILIES
        for version in VERSIONS
        for lane in LANES
        for transport in TRANSPORTS
    ]
