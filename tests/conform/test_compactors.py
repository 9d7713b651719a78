"""Scripted upstreams that compact: what each kind answers, what it refuses, and that it forgets no fact."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapter.conform.compactors import BLOB, KINDS, CompactPeer, Kind, facts
from tests.conform.test_peers import ask

INPUT = [{"role": "user", "content": "FACT-b"}, {"role": "assistant", "content": "FACT-a"}]
ASKED = {"model": "m", "input": INPUT}
CHAT = {"model": "m", "messages": INPUT}
TRIGGER = {"type": "compaction_trigger"}
OWN, FOREIGN = ({"type": "compaction", "encrypted_content": f"{whose}FACT-c"} for whose in (BLOB, "gAAA"))
COMPACT = "/v1/responses/compact"


def asked(kind: Kind, body: dict[str, Any], path: str = COMPACT) -> tuple[int, Any, list[str]]:
    """The status, the answer, and what the peer says was wrong."""
    peer = CompactPeer(kind)
    start, *parts = ask(peer.app, body, path)
    assert peer.paths == [path.removeprefix("/v1")]
    assert peer.seen == [(peer.paths[0], body)]
    return start["status"], json.loads(b"".join(part["body"] for part in parts)), peer.problems


def test_facts_are_named_once_and_in_order() -> None:
    assert facts([{"a": "FACT-b, FACT-a"}, "FACT-b"]) == "FACT-a FACT-b"


def test_a_compaction_keeps_what_users_said_and_a_blob() -> None:
    status, told, problems = asked("compaction", ASKED)
    assert (status, problems) == (200, [])
    kept, blob = told["output"]
    assert (kept["role"], kept["content"], kept["type"], kept["status"]) == ("user", "FACT-b", "message", "completed")
    assert blob == {"type": "compaction", "id": "cmp_0", "encrypted_content": f"{BLOB}FACT-a FACT-b"}
    assert told.keys() == {"id", "object", "created_at", "output", "usage"}
    assert (told["object"], told["usage"]["total_tokens"]) == ("response.compaction", 12)
    assert asked("compaction", {"model": "m", "input": "FACT-x"})[1]["output"][0]["content"] == "FACT-x"


@pytest.mark.parametrize("kind", ["response", "gomodel"])
def test_an_answer_in_place_of_a_compaction_is_a_summary(kind: Kind) -> None:
    status, told, problems = asked(kind, ASKED)
    assert (status, problems, told["object"]) == (200, [], "response")
    assert told["output"][0]["content"][0]["text"] == "I know FACT-a FACT-b."
    assert told["usage"]["total_tokens"] == 12
    assert ("provider" in told) is ("metadata" in told) is ("created_at" in told) is (kind == "gomodel")
    assert ("status" in told) is (kind == "response")


def test_a_chat_upstream_compacts_in_its_own_words() -> None:
    status, told, problems = asked("chat", CHAT)
    assert (status, problems) == (200, [])
    assert told["choices"][0]["message"]["content"] == "I know FACT-a FACT-b."


def test_a_trigger_is_answered_with_a_blob_alone() -> None:
    status, told, problems = asked("trigger", {**ASKED, "input": [*INPUT, TRIGGER], "store": False}, "/v1/responses")
    assert (status, problems) == (200, [])
    assert told["output"] == [{"type": "compaction", "id": "cmp_0", "encrypted_content": f"{BLOB}FACT-a FACT-b"}]


@pytest.mark.parametrize("kind", ["none_chat", "chat"])
def test_a_chat_upstream_that_compacts_is_no_less_strict(kind: Kind) -> None:
    body = {**CHAT, "previous_response_id": "resp_1"}
    for path in ("/v1/chat/completions", *([COMPACT] if kind == "chat" else [])):
        assert asked(kind, body, path)[::2] == (400, ["unknown field previous_response_id"])


def test_what_a_compaction_is_answered_with_has_every_field_of_its_shape() -> None:
    (kept, _), usage = asked("compaction", ASKED)[1]["output"], asked("gomodel", ASKED)[1]["usage"]
    assert kept["id"] == "msg_0"
    assert usage.keys() - {"total_tokens"} == {
        *("input_tokens", "output_tokens", "prompt_tokens_details", "completion_tokens_details", "raw_usage"),
    }
    answered = asked("response", ASKED)[1]
    assert (answered["id"], answered["model"]) == ("resp_0", "m")
    assert answered["output"][0]["content"][0]["type"] == "output_text"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_answers_a_plain_turn_with_all_it_knows(kind: Kind) -> None:
    peer = CompactPeer(kind)
    path = "/v1/chat/completions" if peer.dialect == "chat" else "/v1/responses"
    body = CHAT if peer.dialect == "chat" else {**ASKED, "input": [*INPUT, OWN], "store": False}
    status, told, problems = asked(kind, body, path)
    assert (status, problems) == (200, [])
    assert "I know FACT-a FACT-b" in json.dumps(told)
    assert ("FACT-c" in json.dumps(told)) is (peer.dialect == "responses")


def test_a_turn_may_be_a_text() -> None:
    status, told, problems = asked("trigger", {"model": "m", "input": "FACT-x", "store": False}, "/v1/responses")
    assert (status, problems, "I know FACT-x." in json.dumps(told)) == (200, [], True)


@pytest.mark.parametrize(
    ("kind", "compact"), [("none_chat", "none"), ("none_responses", "none"), ("gomodel", "response"), ("chat", "chat")]
)
def test_a_kind_is_called_as_configurations_call_it(kind: Kind, compact: str) -> None:
    assert CompactPeer(kind).compact == compact


@pytest.mark.parametrize("kind", ["trigger", "none_chat", "none_responses"])
def test_a_kind_without_the_endpoint_has_none(kind: Kind) -> None:
    peer = CompactPeer(kind)
    assert ask(peer.app, ASKED, COMPACT)[0]["status"] == 404
    assert peer.problems == [f"POST {COMPACT}"]


@pytest.mark.parametrize(
    ("kind", "change", "fault"),
    [
        ("compaction", {"metadata": {}}, "unknown parameter metadata"),
        ("response", {"previous_response_id": "r"}, "unknown parameter previous_response_id"),
        ("gomodel", {"service_tier": "auto"}, "unknown parameter service_tier"),
        ("compaction", {"input": []}, "nothing to compact"),
        ("compaction", {"input": [*INPUT, FOREIGN]}, "input[2]: not my blob"),
        ("response", {"input": [*INPUT, FOREIGN]}, "input[2]: not my blob"),
    ],
)
def test_an_endpoint_refuses_what_it_does_not_know(kind: Kind, change: dict[str, Any], fault: str) -> None:
    status, told, problems = asked(kind, {**ASKED, **change})
    assert (status, told["error"]["message"], problems) == (400, fault, [fault])


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("compaction", {"instructions": "x", "previous_response_id": "r", "service_tier": "auto"}),
        ("compaction", {"prompt_cache_key": "k", "prompt_cache_retention": "24h", "prompt_cache_options": {}}),
        ("response", {"instructions": "x", "prompt_cache_key": "k"}),
        ("gomodel", {"instructions": "x", "metadata": {}, "reasoning": {}, "provider": "p", "prompt_cache_key": "k"}),
        ("compaction", {"input": [*INPUT, OWN]}),
    ],
)
def test_an_endpoint_takes_what_it_knows(kind: Kind, change: dict[str, Any]) -> None:
    status, _, problems = asked(kind, {**ASKED, **change})
    assert (status, problems) == (200, [])


@pytest.mark.parametrize(
    ("kind", "change", "fault"),
    [
        ("trigger", {"context_management": []}, "unknown parameter context_management"),
        ("trigger", {"input": [TRIGGER, *INPUT]}, "input[0]: no trigger belongs here"),
        ("trigger", {"input": [*INPUT, TRIGGER, TRIGGER]}, "input[2]: no trigger belongs here"),
        ("compaction", {"input": [*INPUT, TRIGGER]}, "input[2]: no trigger belongs here"),
        ("none_responses", {"input": [FOREIGN, *INPUT]}, "input[0]: not my blob"),
        ("none_responses", {"store": True}, "store must be false"),
    ],
)
def test_a_turn_is_refused_that_holds_what_has_no_place_in_it(kind: Kind, change: dict[str, Any], fault: str) -> None:
    status, told, problems = asked(kind, {**ASKED, "store": False, **change}, "/v1/responses")
    assert (status, told["error"]["message"], problems) == (400, fault, [fault])
