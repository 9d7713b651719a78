"""What compactions cost: every call that was made for one, told to the client and to the books."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.compacting import COMPACT, WAYS, asked
from tests.server.harness import adapter, play, upstream
from tests.server.scripted import (
    END,
    SSE,
    Script,
    Upstream,
    chat_stream,
    chunk,
    event,
    json_reply,
    response,
    responses_events,
    responses_stream,
)
from tests.server.test_lanes import access_lines

CALL = WAYS["openai"].body
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
BLOB = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"}


def resource(*output: dict[str, Any]) -> bytes:
    return json_reply({"id": "resp_1", "object": "response.compaction", "output": list(output), "usage": USAGE})


def triggered() -> Script:
    """A Responses stream whose one item is a compaction."""
    whole = response() | {"output": [BLOB]}
    first = responses_events()[0]
    at = {"output_index": 0, "item": BLOB}
    told = [first, {"type": "response.output_item.done", **at}, {"type": "response.completed", "response": whole}]
    return [SSE, *(event(one, one["type"]) for one in told), END]


TWICE: dict[str, tuple[str, list[Script]]] = {
    "empty": ("compaction", [[resource()], [resource(BLOB)]]),
    "text": ("response", [[json_reply(response("  "))], [json_reply(response("facts"))]]),
    "trigger": ("trigger", [responses_stream("Hello"), triggered()]),
    "summary": ("none", [responses_stream(""), responses_stream("facts")]),
}


@pytest.mark.parametrize("how", TWICE)
def test_a_compaction_that_is_asked_for_twice_costs_both(how: str, capfd: pytest.CaptureFixture[str]) -> None:
    kind, scripts = TWICE[how]

    async def scenario() -> None:
        async with Upstream(*scripts) as up, adapter(upstream(up.url, "responses", compact=kind)) as client:
            found = await client.post(COMPACT, CALL)
            assert found.status == 200, found.body
            assert len(up.seen) == 2
            assert [found.json["usage"][key] for key in USAGE] == [6, 4, 10]
            assert found.headers["x-adapter-token-count"] == "usage"

    play(scenario)
    assert [(line["tokens_in"], line["tokens_out"]) for line in access_lines(capfd)] == [(6, 4)]


NOTHING = [
    ("compaction", [resource()], 6),
    ("trigger", responses_stream("Hello"), 6),
    ("response", [json_reply(response(status="failed"))], 3),
]


@pytest.mark.parametrize(("kind", "script", "tokens"), NOTHING)
@pytest.mark.parametrize("on_failure", ["error", "trim"])
def test_an_upstreams_compaction_that_came_to_nothing_costs_what_it_says(
    kind: str, script: Script, tokens: int, on_failure: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, "responses", compact=kind), compaction={"on_failure": on_failure}) as client,
        ):
            found = await client.post(COMPACT, CALL)
            assert found.status == (502 if on_failure == "error" else 200), found.body

    play(scenario)
    assert [line["tokens_in"] for line in access_lines(capfd)] == [tokens]


@pytest.mark.parametrize("name", ["openai", "gogogotoken", "gomodel", "visioncoder", "trigger", "threshold"])
def test_a_compaction_whose_cost_is_an_estimate_is_marked(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    silent = [SSE, event(chunk({"content": "the summary"}, "stop")), event(b"[DONE]"), END]

    async def scenario() -> None:
        async with Upstream(silent, chat_stream("Good")) as up, adapter(upstream(up.url, "chat")) as client:
            assert (await asked(client, WAYS[name], WAYS[name].streams)).headers["x-adapter-token-count"] == "estimate"

    play(scenario)
    assert [line["anomalies"] for line in access_lines(capfd)] == [["usage_estimated"]]
