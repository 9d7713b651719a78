"""A Codex that somebody has logged in with ChatGPT, and whose provider is named OpenAI: it compresses what it sends with zstd."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.codex.families import VERSIONS, says
from tests.e2e.codex.rig import LANES, Lane, Rig

ACCOUNT = {"chatgpt_plan_type": "plus", "chatgpt_account_id": "account", "chatgpt_user_id": "user"}


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_it_sends_is_read(codex_rig: Rig, tmp_path: Path, version: str, lane: Lane) -> None:
    key = _log_in(tmp_path / "home", f"{version} {lane}")
    url = codex_rig.urls[lane]
    block = 'model = "gpt-5.2"\nmodel_provider = "adapter"\ncheck_for_update_on_startup = false\n'
    block += f'chatgpt_base_url = "{url}"\n[model_providers.adapter]\nname = "OpenAI"\nbase_url = "{url}"\n'
    block += 'wire_api = "responses"\nrequires_openai_auth = true\nrequest_max_retries = 0\nstream_max_retries = 0\n'
    run = codex_rig.run(key, tmp_path, version, lane, "gpt-5.2", [says("hello")], block=block)

    assert run.messages == ["hello"], run.told()
    assert "go" in run.history()


def _log_in(home: Path, subject: str) -> str:
    """What a log-in leaves in Codex's home; the token that it then sends as its key."""
    claims = {"sub": subject, "email": "a@example.com", "exp": 4_102_444_800, "https://api.openai.com/auth": ACCOUNT}
    token = f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}.c2lnbmVk"
    tokens = {"id_token": token, "access_token": token, "refresh_token": "again", "account_id": "account"}
    facts = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": tokens}
    home.mkdir()
    (home / "auth.json").write_text(json.dumps({**facts, "last_refresh": datetime.now(UTC).isoformat()}))
    return token


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
