"""Seven shapes of clients over seven kinds of upstreams: every cell compacts, and the conversation goes on from it.

The facts of the conversation stand in what the assistant and its tools said, never in what the user said: they survive only
in a summary or in a blob. What a client gives back is what it got; the upstream says which facts it was then told.
"""

from __future__ import annotations

import pytest

from adapter.conform.compactors import KINDS, CompactPeer, Kind
from tests.server.compacting import CELLS, FACTS, WAYS, asked, continued, final, peered, told
from tests.server.harness import adapter, play


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "stream"), CELLS, ids=[f"{name}{'-streamed' * s}" for name, s in CELLS])
def test_every_client_goes_on_from_its_compaction_over_every_upstream(kind: Kind, name: str, stream: bool) -> None:
    way = WAYS[name]

    async def scenario() -> None:
        peer = CompactPeer(kind)
        async with peered(peer) as section, adapter(section) as client:
            answer = await asked(client, way, stream)
            assert answer.status == 200, answer.body
            assert answer.whole
            assert peer.problems == []
            whole = final(answer)
            check_shape(name, whole, answer.types if stream and name != "visioncoder" else None)
            if way.returned is None or name == "threshold":
                assert told(whole) == FACTS
            if way.returned is not None:
                assert told(await continued(client, whole, way)) == FACTS
            assert peer.problems == []

    play(scenario)


def check_shape(name: str, whole: dict, types: list[str] | None) -> None:  # type: ignore[type-arg]
    """The answer is in the shape that this client speaks."""
    items = [item["type"] for item in whole.get("output", [])]
    match name:
        case "openai" | "codex_old":
            assert whole["object"] == "response.compaction"
            assert items.count("compaction") == 1
            assert items[-1] == "compaction"
            assert whole["usage"]["total_tokens"] > 0
        case "gogogotoken" | "gomodel":
            assert whole["object"] == "response"
            assert items == ["message"]
            assert whole["output"][0]["content"][0]["type"] == "output_text"
            assert told(whole) == FACTS
        case "visioncoder":
            assert whole["object"] == "chat.completion"
        case "trigger":
            assert items == ["compaction"]
        case "threshold":
            assert items == ["compaction", "message"]
    if name == "gomodel":
        assert whole["provider"] == "up"
        assert whole["metadata"] == {"k": "v"}
        assert whole["usage"].keys() >= {"raw_usage", "prompt_tokens_details", "completion_tokens_details"}
    if types is not None:
        assert types[0] == "response.created"
        assert types.count("response.output_item.done") == len(items)
