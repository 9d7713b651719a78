"""Every client shape over every kind of upstream."""

from __future__ import annotations

from adapter.compaction.plan import ClientShape, UpstreamKind, Way, suggested, way

BLOB_TAKERS = ["compaction", "trigger", "threshold", "chat"]
TEXT_TAKERS = ["response", "gomodel"]
CELLS = {
    ("compaction", Way.ENDPOINT_BLOB): BLOB_TAKERS,
    ("compaction", Way.SUMMARISE): TEXT_TAKERS,
    ("trigger", Way.TRIGGER_BLOB): BLOB_TAKERS,
    ("trigger", Way.SUMMARISE): TEXT_TAKERS,
    ("response", Way.ENDPOINT_TEXT): [*BLOB_TAKERS, *TEXT_TAKERS],
    ("chat", Way.HAND_ON): ["chat"],
    ("chat", Way.SUMMARISE): ["compaction", "trigger", "threshold", *TEXT_TAKERS],
    ("none", Way.SUMMARISE): [*BLOB_TAKERS, *TEXT_TAKERS],
}


def test_the_table_is_the_one_that_was_decided() -> None:
    assert {(client.value, kind.value): way(client, kind) for client in ClientShape for kind in UpstreamKind} == {
        (client, kind): how for (kind, how), clients in CELLS.items() for client in clients
    }


def test_auto_tries_what_the_dialect_suggests() -> None:
    assert suggested("responses") is UpstreamKind.COMPACTION
    assert suggested("chat") is UpstreamKind.NONE
