"""A Codex that would like a socket, over an adapter that has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.codex.families import VERSIONS, says
from tests.e2e.codex.rig import LANES, Rig, adapter


@pytest.mark.parametrize("version", VERSIONS)
def test_codex_goes_on_over_http_without_a_word(codex_rig: Rig, tmp_path: Path, version: str) -> None:
    config = f'[server]\nwebsocket = false\n[[upstreams]]\nname = "scripted"\nbase_url = "{codex_rig.upstream}"\n'
    config += 'dialect = "chat"\napi_key = "client"\n'
    with adapter(tmp_path, "no-sockets", config) as url:
        rig = replace(codex_rig, urls=dict.fromkeys(LANES, url))
        key, script = f"no-sockets-{version}", [says("hello")]
        run = rig.run(key, tmp_path, version, "chat", "gpt-5.2", script, provider="supports_websockets = true")

    assert run.messages == ["hello"]
    assert run.over_socket == [False]
    assert "WebSocket" not in run.notices
