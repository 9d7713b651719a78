"""An endpoint that is not there, told from one that failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter.upstream.lacking import Lacking, gives_no_reasoning, is_absent
from adapter.upstream.refusals import from_error_object, from_http
from tests.upstream.test_failover import target

SAID = {
    "litellm_unsupported": (500, b'{"error":{"message":"litellm.APIConnectionError: COMPACT responses is not supported for gemini","type":"internal_server_error","param":null,"code":"500"}}', True),
    "litellm_upstream_404": (404, b'{"error":{"message":"litellm.NotFoundError: NotFoundError: Hosted_vllmException - {\\"detail\\": \\"Not Found\\"}","type":"invalid_request_error","param":null,"code":"404"}}', True),
    "litellm_failure": (500, b'{"error":{"message":"litellm.InternalServerError: InternalServerError: OpenAIException - boom","type":"internal_server_error","param":null,"code":"500"}}', False),
    "gomodel": (501, b'{"error":{"message":"response compaction is not supported by this provider","type":"invalid_request_error"}}', True),
    "bare_404": (404, b"", True),
    "405": (405, b"{}", True),
    "unknown_model": (404, b'{"error":{"message":"no such model","code":"model_not_found"}}', False),
    "openai_unknown_item": (404, b'{"error":{"message":"Item with id \'rs_1\' not found. Items are not persisted when `store` is set to false.","type":"invalid_request_error","param":"input","code":null}}', False),
    "bad_request": (400, b'{"error":{"message":"`input` is not supported for this model"}}', False),
    "page": (500, b"<html>is not supported for</html>", False),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_an_endpoint_that_is_not_there_is_told_from_a_failure_and_from_a_missing_model(case: str) -> None:
    status, body, absent = SAID[case]
    assert is_absent(from_http(status, {}, body, own_key=True)) is absent


def test_an_error_in_a_200_may_say_so_too() -> None:
    assert is_absent(from_error_object("Unexpected endpoint or method. (POST /v1/responses/compact)"))
    assert not is_absent(from_error_object("Model is unloaded."))


@pytest.mark.parametrize(
    ("said", "none"),
    [
        ({"message": "Encrypted content is not supported with this model.", "param": "include"}, True),
        ({"message": "litellm.BadRequestError: Encrypted content is not supported with this model."}, True),
        ({"message": "Invalid value", "param": "include[0]"}, True),
        ({"message": "Unknown value 'reasoning.encrypted_content'"}, True),
        ({"message": "The encrypted content gAAA could not be verified."}, False),
        ({"message": "No.", "param": "reasoning.encrypted_content", "code": "invalid_encrypted_content"}, False),
        ({"message": "No.", "param": "input"}, False),
        ({"message": "Rate limit", "type": "rate_limit_error", "param": "include"}, False),
    ],
)
def test_a_model_without_reasoning_to_give_is_told_from_one_that_cannot_open_it(
    said: dict[str, str], none: bool
) -> None:
    assert gives_no_reasoning(from_error_object({"type": "invalid_request_error"} | said)) is none


def test_what_a_gateway_lacks_for_one_model_it_may_have_for_another() -> None:
    lacking, one = Lacking(), target("gateway")
    lacking.add(one)
    assert one in lacking
    assert target("other") not in lacking
    assert replace(one, model="other") not in lacking


def test_what_was_missing_is_tried_again_after_an_hour() -> None:
    now = [1000.0]
    lacking, one = Lacking(lambda: now[0]), target("gateway")
    lacking.add(one)
    now[0] += 3599
    assert one in lacking
    now[0] += 2
    assert one not in lacking


def test_it_never_holds_more_than_some_thousand_names() -> None:
    lacking = Lacking()
    for number in range(3000):
        lacking.add(target(f"up{number}"))
    assert sum(target(f"up{number}") in lacking for number in range(3000)) <= 1024
