"""What the header fields of a request say of its client."""

from __future__ import annotations

import pytest

from adapter.hub.request import ClientTraits
from adapter.wire.headers import client_traits

WINDOW = {b"x-codex-window-id": b"00000000-0000-7000-8000-000000000001:0"}


@pytest.mark.parametrize(
    ("headers", "traits"),
    [
        ({b"user-agent": b"codex_exec/0.171.0 (Debian 12.0.0; x86_64) unknown"}, ClientTraits.CODEX),
        ({b"user-agent": b"codex_exec/0.120.0 (Debian 12.0.0; x86_64) unknown"}, ClientTraits.CODEX_EARLY),
        ({b"originator": b"codex_exec"}, ClientTraits.CODEX),
        ({b"originator": b"codex_exec", b"session_id": b"1"}, ClientTraits.CODEX_EARLY),
        ({b"user-agent": b"probe/0.171.0 (Debian 12.0.0; x86_64) unknown (probe; 1)", **WINDOW}, ClientTraits.CODEX),
        ({b"user-agent": b"Codex Desktop/0.120.0 (Mac OS 26.0.0; arm64)", **WINDOW}, ClientTraits.CODEX_EARLY),
        ({b"originator": b"probe", b"session_id": b"1", **WINDOW}, ClientTraits.CODEX_EARLY),
        ({b"user-agent": b"probe/0.171.0"}, ClientTraits.GENERIC),
        ({}, ClientTraits.GENERIC),
    ],
)
def test_codex_is_known_by_its_name_and_under_that_of_a_program_that_runs_it(
    headers: dict[bytes, bytes], traits: ClientTraits
) -> None:
    """`codex app-server` takes the name of its client into `originator` and `user-agent`."""
    assert client_traits(headers) is traits
