"""The adapter's catalog and configuration block, read by the real Codex."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from adapter.conform.acting import offered
from adapter.conform.peers import Answer, Turn
from tests.e2e.codex.families import FAMILIES, NEWEST, VERSIONS, Body, answer, says
from tests.e2e.codex.rig import Rig, Run, adapter, binary, serving
from tests.e2e.codex.work import MCP
from tests.e2e.conftest import ROOT

UNKNOWN = FAMILIES[0]
SECTIONS = """
models = ["plain", "fitted", "gpt-5.6-sol"]
[[upstreams.codex]]
models = ["fitted"]
context_window = 32000
reasoning_levels = ["high"]
apply_patch = false
namespaces = false
tool_search = true
images = false
[[upstreams.codex]]
models = ["gpt-*"]
reasoning_levels = []
"""


@pytest.fixture(scope="module")
def catalog_url(codex_rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An adapter whose operator chose what Codex is told."""
    folder = tmp_path_factory.mktemp("catalog")
    head = (
        f'[[upstreams]]\nname = "scripted"\nbase_url = "{codex_rig.upstream}"\ndialect = "chat"\napi_key = "client"\n'
    )
    with adapter(folder, "catalog", head + SECTIONS) as url:
        yield url


def asked(
    codex_rig: Rig, url: str, folder: Path, model: str, *, catalog: bool = True, script: Sequence[Turn] = (says("hi"),)
) -> Run:
    """A run, with the catalog or without it."""
    rig = Rig(codex_rig.board, {"chat": url}, codex_rig.upstream)
    provider = f'model_catalog_url = "{url}/models"' if catalog else ""
    key = f"catalog-{folder.name}-{model}"
    return rig.run(key, folder, NEWEST, "chat", model, script, provider=provider, config=MCP)


def codex_config(*options: str) -> str:
    """What the command of this name prints."""
    command = [sys.executable, "-m", "adapter", "codex-config", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def names(body: dict[str, Any]) -> set[str]:
    return {name for _, name in offered(body)}


def test_the_warning_is_gone_and_the_tools_are_plain(codex_rig: Rig, catalog_url: str, tmp_path: Path) -> None:
    without = asked(codex_rig, catalog_url, tmp_path / "a", "plain", catalog=False)
    run = asked(codex_rig, catalog_url, tmp_path / "b", "plain")

    assert "not found" in without.notices
    assert "not found" not in run.notices + run.errors
    assert run.messages == ["hi"]
    assert {"exec_command", "apply_patch", "view_image", "mcp__echo__say"} <= names(run.requests[0])
    assert any(name.startswith("multi_agent") for name in names(run.requests[0]))
    assert "tool_search" not in names(run.requests[0])


def test_the_operator_chooses_the_tools(codex_rig: Rig, catalog_url: str, tmp_path: Path) -> None:
    run = asked(codex_rig, catalog_url, tmp_path, "fitted")

    assert run.messages == ["hi"]
    given = names(run.requests[0])
    assert {"exec_command", "tool_search"} <= given
    assert not {"apply_patch", "mcp__echo__say"} & given
    assert not any(name.startswith("multi_agent") for name in given)


def test_codex_compacts_by_the_window_that_the_operator_names(codex_rig: Rig, catalog_url: str, tmp_path: Path) -> None:
    """At 90 % of it; what Codex takes for an unknown model is many times as much."""

    def turn(body: Body) -> Answer:
        history = json.dumps(body)
        if "CONTEXT CHECKPOINT" in history:
            return says("the summary")
        return says("done") if "the summary" in history else answer(UNKNOWN.shell(body, "true"), tokens=30_000)

    run = asked(codex_rig, catalog_url, tmp_path, "fitted", script=[turn])

    assert run.messages == ["done"]
    assert len(run.requests) == 3


def test_a_model_of_openais_own_protocol_gets_plain_tools(codex_rig: Rig, catalog_url: str, tmp_path: Path) -> None:
    """What Codex knows of gpt-5.6 (JavaScript instead of tools) gives way to the catalog."""
    run = asked(codex_rig, catalog_url, tmp_path, "gpt-5.6-sol")

    assert {"exec_command", "apply_patch"} <= names(run.requests[0])
    assert "exec" not in names(run.requests[0])


def test_what_the_upstream_tells_codex_is_what_codex_is_told(codex_rig: Rig, tmp_path: Path) -> None:
    """The whole of it, under the name that the operator gave the model; there are servers that tell it nobody but Codex."""
    catalog = subprocess.run(
        [str(binary(NEWEST)), "debug", "models"], env={"HOME": str(tmp_path)}, capture_output=True, check=True
    ).stdout

    async def listing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await codex_rig.board.app(scope, receive, send)
        else:
            asked = b"client_version=" in scope["query_string"]
            await Response(catalog if asked else b"{}", media_type="application/json")(scope, receive, send)

    with serving(listing) as upstream:
        head = f'[[upstreams]]\nname = "native"\nbase_url = "{upstream}"\ndialect = "responses"\napi_key = "client"\n'
        with adapter(tmp_path, "native", head + 'aliases = { house = "gpt-5.6-sol" }\n') as url:
            rig = Rig(codex_rig.board, {"responses": url}, upstream)
            provider = f'model_catalog_url = "{url}/models"'
            run = rig.run("native", tmp_path, NEWEST, "responses", "house", [says("hi")], provider=provider)

    assert (run.messages, run.notices) == (["hi"], "")
    (known,) = [one for one in json.loads(catalog)["models"] if one["slug"] == "gpt-5.6-sol"]
    assert known["base_instructions"][:60] in run.history()
    assert run.requests[0]["reasoning"]["effort"] == known["default_reasoning_level"]
    assert run.requests[0]["text"]["verbosity"] == known["default_verbosity"]
    assert "exec" in names(run.requests[0])


def test_what_codex_config_prints_works_as_it_is(codex_rig: Rig, catalog_url: str, tmp_path: Path) -> None:
    printed = codex_config("--config", str(_config(tmp_path)), "--url", catalog_url)
    block = tomllib.loads(printed)
    assert block["model"] == "plain"
    assert block["model_providers"]["adapter"]["model_catalog_url"] == f"{catalog_url}/models"

    run = Rig(codex_rig.board, {"chat": catalog_url}, codex_rig.upstream).run(
        "pasted", tmp_path, NEWEST, "chat", "plain", [says("pasted")], block=printed
    )
    assert run.messages == ["pasted"]
    assert run.notices == ""


KNOWN = "gpt-5.6-sol"


@pytest.mark.parametrize(("model", "notices", "tool"), [(KNOWN, 0, "exec"), ("unheard-of", 1, "exec_command")])
def test_codex_keeps_what_it_knows_of_models_that_are_openais_own(
    codex_rig: Rig, tmp_path: Path, model: str, notices: int, tool: str
) -> None:
    text = (
        f'[[upstreams]]\nname = "own"\nbase_url = "{codex_rig.upstream}"\ndialect = "responses"\nprofile = "openai"\n'
    )
    with adapter(tmp_path, "own", text) as url:
        config = ["--config", str(tmp_path / "own.toml"), "--url", url, "--model", model]
        printed = codex_config(*config)
        rig = Rig(codex_rig.board, {"responses": url}, codex_rig.upstream)
        run = rig.run(f"own-{model}", tmp_path, NEWEST, "responses", model, [says("hi")], block=printed)

    assert run.messages == ["hi"]
    assert run.notices.count("not found") == notices
    assert tool in names(run.requests[0])


def test_a_codex_that_asks_for_a_catalog_takes_nothing_that_it_knows_itself(codex_rig: Rig, tmp_path: Path) -> None:
    """Nor where it is given none: so the adapter's answer always has one, and it is the block that must not ask."""

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        app = codex_rig.board.app if scope["type"] != "http" or scope["method"] != "GET" else Response(b'{"data": []}')
        await app(scope, receive, send)

    with serving(nothing) as url:
        rig = Rig(codex_rig.board, {"responses": url}, url)
        provider = f'model_catalog_url = "{url}/models"'
        run = rig.run("nothing", tmp_path, NEWEST, "responses", KNOWN, [says("hi")], provider=provider)

    assert "not found" in run.notices
    assert "exec" not in names(run.requests[0])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_that_asks_no_server_reads_the_catalog_in_a_file(
    codex_rig: Rig, catalog_url: str, tmp_path: Path, version: str
) -> None:
    file = ["--catalog", str(tmp_path / "catalog.json")]
    printed = codex_config("--config", str(_config(tmp_path)), "--url", catalog_url, *file)
    rig = Rig(codex_rig.board, {"chat": catalog_url}, codex_rig.upstream)
    blocks = {"with": printed, "without": re.sub("model_catalog_json = .*", "", printed)}
    runs = {
        name: rig.run(f"{version} {name}", tmp_path / name, version, "chat", "plain", [says("hi")], block=block)
        for name, block in blocks.items()
    }

    assert [run.messages for run in runs.values()] == [["hi"], ["hi"]]
    assert runs["with"].notices == ""
    offers = {name: "apply_patch" in names(run.requests[0]) for name, run in runs.items()}
    assert offers == {"with": True, "without": False}, (
        "without an entry it is offered what Codex gives an unknown model"
    )


def _config(folder: Path) -> Path:
    path = folder / "adapter.toml"
    path.write_text('[[upstreams]]\nname = "scripted"\nbase_url = "http://127.0.0.1:1/v1"\ndialect = "chat"\n')
    return path
