"""Every client shape over every kind of upstream."""

from __future__ import annotations

import pytest

from adapter.compaction.plan import ClientShape, UpstreamKind, Way, is_absent, suggested, way

BLOB_TAKERS = ["compaction", "codex_old", "trigger", "threshold", "chat"]
TEXT_TAKERS = ["response", "gomodel"]
CELLS = {
    ("compaction", Way.ENDPOINT_BLOB): BLOB_TAKERS,
    ("compaction", Way.SUMMARISE): TEXT_TAKERS,
    ("trigger", Way.TRIGGER_BLOB): BLOB_TAKERS,
    ("trigger", Way.SUMMARISE): TEXT_TAKERS,
    ("response", Way.ENDPOINT_TEXT): [*BLOB_TAKERS, *TEXT_TAKERS],
    ("chat", Way.HAND_ON): ["chat"],
    ("chat", Way.SUMMARISE): ["compaction", "codex_old", "trigger", "threshold", *TEXT_TAKERS],
    ("none", Way.SUMMARISE): [*BLOB_TAKERS, *TEXT_TAKERS],
}


def test_the_table_is_the_one_that_was_decided() -> None:
    assert {(client.value, kind.value): way(client, kind) for client in ClientShape for kind in UpstreamKind} == {
        (client, kind): how for (kind, how), clients in CELLS.items() for client in clients
    }


def test_auto_tries_what_the_dialect_suggests() -> None:
    assert suggested("responses") is UpstreamKind.COMPACTION
    assert suggested("chat") is UpstreamKind.NONE


@pytest.mark.parametrize(
    ("status", "code", "absent"),
    [
        (404, None, True),
        (405, None, True),
        (501, "x", True),
        (404, "model_not_found", False),
        (400, None, False),
        (500, None, False),
    ],
)
def test_a_missing_endpoint_is_told_from_a_missing_model(status: int, code: str | None, absent: bool) -> None:
    assert is_absent(status, code) is absent
