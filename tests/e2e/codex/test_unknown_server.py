"""A Responses server that knows functions only, over an adapter that nobody told so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapter.conform.strict_responses import problems
from tests.e2e.codex.families import FAMILIES, Family
from tests.e2e.codex.rig import FEW, LANES, Rig, adapter
from tests.e2e.codex.work import Patch


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.patches], ids=lambda family: family.name)
def test_codex_patches_there_after_a_refusal_or_two(codex_rig: Rig, tmp_path: Path, family: Family) -> None:
    config = f'[[upstreams]]\nname = "scripted"\nbase_url = "{codex_rig.upstream}"\ndialect = "responses"\n'
    (version,), key, scenario = family.versions, f"unknown-server-{family.name}", Patch()
    with adapter(tmp_path, "unknown-server", config + 'api_key = "client"\ncompact = "none"\n') as url:
        rig = replace(codex_rig, urls=dict.fromkeys(LANES, url))
        run = rig.run(key, tmp_path, version, "functions", family.slug, scenario.script(family))

    scenario.check(run, family)
    assert not run.failure
    taken = [not problems(body, FEW["functions"]) for body in run.requests]
    assert taken in ([False, True, True, True], [False, False, True, True, True])
