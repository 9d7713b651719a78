"""An upstream whose base URL has a query: Azure's dated API, and keys that gateways want there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapter.upstream.router import Upstream as Routed
from tests.server.harness import adapter, configured, play, upstream
from tests.server.scripted import Upstream, chat_reply, json_reply, response

SECRET = "CANARY+0123456789abcdef"
QUERY = "api-version=2024-10-21&subscription-key=CANARY%2B0123456789abcdef"


def section(up: Upstream, dialect: str, **keys: Any) -> dict[str, Any]:
    return upstream(f"{up.url}?{QUERY}", dialect, profile="azure", **{"api_key": "f0e1d2c3b4a59687", **keys})


def test_every_call_carries_it(tmp_path: Path) -> None:
    """Those for models, for what is stored and for a compaction, too; what a caller writes in its place is left out."""

    async def scenario() -> None:
        page = {"object": "list", "data": [], "has_more": False}
        compacted = {"id": "resp_c", "object": "response.compaction", "created_at": 1, "output": [], "usage": None}
        scripts = [{"data": []}, response(), response(), page, compacted]
        async with (
            Upstream(*([json_reply(one)] for one in scripts)) as up,
            adapter(section(up, "responses"), store={"url": f"sqlite:///{tmp_path}/store.db"}) as client,
        ):
            await client.get("/v1/models")
            assert (await client.ask("responses")).status == 200
            await client.get("/v1/responses/resp_up1?include%5B%5D=message.output_text.logprobs&Api-Version=1")
            await client.get("/v1/responses/resp_up1/input_items?limit=3&subscription-key=mine")
            await client.post("/v1/responses/compact", {"model": "m", "input": "Hi"})
            assert [seen.line.split()[1] for seen in up.seen[:5]] == [
                f"/v1/models?{QUERY}",
                f"/v1/responses?{QUERY}",
                f"/v1/responses/resp_up1?{QUERY}&include%5B%5D=message.output_text.logprobs",
                f"/v1/responses/resp_up1/input_items?{QUERY}&limit=3",
                f"/v1/responses/compact?{QUERY}",
            ]

    play(scenario)


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
def test_a_chat_upstream_gets_it_behind_its_path_and_its_key_where_azure_reads_it(client_speaks: str) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(section(up, "chat")) as client:
            assert (await client.ask(client_speaks)).status == 200
            assert up.seen[0].line.split()[1] == f"/v1/chat/completions?{QUERY}"
            assert up.seen[0].headers["api-key"] == "f0e1d2c3b4a59687"
            assert "authorization" not in up.seen[0].headers

    play(scenario)


def test_a_token_is_no_key_of_azures() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(section(up, "chat", api_key="client")) as client:
            for key in ("0123456789abcdef", "eyJ0eXAiOiJKV1Qi.eyJhdWQi.c2ln"):
                await client.ask("chat", headers={"authorization": f"Bearer {key}"})
            fields = [(seen.headers.get("api-key"), seen.headers.get("authorization")) for seen in up.seen]
            assert fields == [("0123456789abcdef", None), (None, "Bearer eyJ0eXAiOiJKV1Qi.eyJhdWQi.c2ln")]

    play(scenario)


@pytest.mark.parametrize("spelling", [SECRET, "CANARY%2B0123456789abcdef"])
def test_what_it_says_is_nobodys_business(spelling: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A gateway that repeats the URL in its refusal; logs; what a traceback would show."""

    async def scenario() -> None:
        refusal = {"error": {"message": f"No such deployment: /v1/x?subscription-key={spelling}"}}
        async with (
            Upstream([json_reply(refusal, 404)]) as up,
            adapter(section(up, "chat"), log_level="debug") as client,
        ):
            answer = await client.ask("chat")
            assert (answer.status, b"No such deployment" in answer.body) == (404, True)
            assert b"CANARY" not in answer.body
            settings = configured(section(up, "chat"))
            assert "CANARY" not in f"{settings} {Routed.of(settings.upstreams[0])}"

    play(scenario)
    written = capfd.readouterr()
    assert "CANARY" not in written.out + written.err
    assert json.loads(written.out.splitlines()[0])
