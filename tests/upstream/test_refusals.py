"""What upstreams answer when they refuse, in their own words."""

from __future__ import annotations

from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseError

from adapter.dialects.responses.reply import failed_error
from adapter.errors import (
    AdapterError,
    ModelNotFound,
    PayloadTooLarge,
    UpstreamAuth,
    UpstreamBadContent,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamUnwell,
)
from adapter.hub.request import ClientTraits
from adapter.server.http.refusal import told_in_stream
from adapter.upstream.policy import Fault, fault_of
from adapter.upstream.refusals import ABOUT_INPUT, MAX_MESSAGE, from_error_object, from_http, scrubbed
from adapter.upstream.wordings import SPENT
from adapter.wire.jsonio import dumps


def refused(status: int, body: Any = b"", *, own_key: bool = True, **headers: str) -> AdapterError:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return from_http(status, {key.replace("_", "-"): value for key, value in headers.items()}, raw, own_key=own_key)


def openai(message: str, **facts: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **facts}}


CONTEXT = [
    (400, openai("too long", code="context_length_exceeded")),
    (400, openai("Your input exceeds the context window of this model. Please adjust your input and try again.")),
    (
        400,
        openai("This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."),
    ),
    (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400}),
    (400, openai("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", code=400)),
    (400, openai("The input (5000 tokens) is longer than the model's context length (4096 tokens).")),
    (400, openai("Requested token count exceeds the model's maximum context length of 202752 tokens.")),
    (
        400,
        openai(
            "request (5000 tokens) exceeds the available context size (4096 tokens)", type="exceed_context_size_error"
        ),
    ),
    (500, openai("the request exceeds the available context size. try increasing the context size")),
    (400, {"error": "prompt too long; exceeded max context length by 4 tokens"}),
    (400, {"error": "the input length exceeds the context length"}),
    (400, {"error": "Trying to keep the first 5000 tokens when context the overflows. The model has 4096."}),
    (400, {"error": "Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)"}),
    (500, openai("Context size has been exceeded.", type="server_error", code=500)),
    (400, openai("litellm.ContextWindowExceededError: context_length_exceeded", code="400")),
    (400, openai("Your request exceeded the context limit")),
    (400, openai("Prompt length (5000) exceeds max_model_len (4096)")),
    (400, openai("prompt token count of 130000 exceeds the limit of 128000", code="model_max_prompt_tokens_exceeded")),
    (400, openai("Prompt \u8d85\u957f")),
    (400, openai("\u8f93\u5165\u6587\u672c\u8d85\u957f")),
    (400, openai("The number of tokens to keep from the initial prompt is greater than the context length.")),
    (400, openai("prompt is too long: 213462 tokens > 200000 maximum")),
    (400, openai("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000")),
    (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (1196265) exceeds the maximum number of tokens allowed",
                }
            }
        ],
    ),
    (400, openai("This model's maximum prompt length is 131072 but the request contains 537812 tokens.")),
    (400, openai("Please reduce the length of the messages or completion.")),
    (400, openai("Invalid request: Your request exceeded model token limit: 8192")),
    (
        400,
        {
            "object": "error",
            "message": "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
        },
    ),
    (422, openai("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097.")),
    (400, {"code": "InvalidParameter", "message": "Range of input length should be [1, 30720]"}),
    (400, openai("context window exceeds limit (2013)")),
    (413, openai("Input length 131393 exceeds the maximum allowed input length of 131040 tokens.")),
    (400, {"error": {"code": "1261", "message": "Prompt exceeds max length"}}),
]
QUOTA = [
    (429, openai("You exceeded your current quota, please check your plan.", code="insufficient_quota")),
    (402, openai("Insufficient Balance", type="unknown_error")),
    (402, {"error": {"message": "This request requires more credits", "code": 402}}),
    (402, b""),
    (400, openai("Your credit balance is too low to access the API.")),
    (429, openai("Your account is suspended", type="exceeded_current_quota_error")),
    (400, {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."}),
    (
        422,
        openai(
            "Budget has been exceeded! Key=k Current cost: 1.3, Max budget: 1.0", type="budget_exceeded", code="422"
        ),
    ),
    (
        429,
        openai(
            "No deployments available - crossed budget: Exceeded budget for provider openai: 21.0 >= 0.5", code="429"
        ),
    ),
    (429, openai("litellm.RateLimitError: OpenAIException - You exceeded your current quota", code="429")),
    (400, openai("litellm.BadRequestError: DeepseekException - Insufficient Balance", code="400")),
    (500, openai("litellm.APIError: APIError: OpenrouterException - This request requires more credits", code="500")),
    (403, openai("You are out of credits")),
    (400, openai("Payment Required")),
    (400, openai("Billing hard limit has been reached")),
    (429, openai("Your account is not active, please check your billing details on our website.", code="429")),
    (400, openai("Access denied, please make sure your account is in good standing.")),
    (400, openai("\u8d26\u6237\u5df2\u6b20\u8d39")),
    (429, openai("\u4f59\u989d\u4e0d\u8db3")),
    (429, {"error": {"code": "1113", "message": "\u4f59\u989d\u4e0d\u8db3"}}),
]
MODEL = [
    (404, openai("The model `x` does not exist or you do not have access to it.", code="model_not_found")),
    (404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}),
    (404, openai("model 'x:7b' not found", type="api_error")),
    (404, {"error": 'model "x" not found, try pulling it first'}),
    (400, openai("Model Not Exist")),
    (400, {"error": {"message": "x/y is not a valid model ID", "code": 400}}),
    (400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"}),
    (404, openai("Not found the model x or Permission denied", type="resource_not_found_error")),
    (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}),
    (400, openai("The requested model does not exist")),
    (400, openai("no such model: x")),
    (400, openai("Unknown model x")),
    (400, openai("Invalid model x")),
    (400, openai("Unable to access model x. Please visit the model's page.")),
    (404, openai("The API deployment for this resource does not exist.")),
    (400, openai("\u6a21\u578b\u4e0d\u5b58\u5728")),
    (400, {"detail": "Server is pinned to 'org/a'; requested 'x'."}),
    (400, {"error": {"code": "1211", "message": "\u6a21\u578b\u4e0d\u5b58\u5728"}}),
]

SEALED = [
    (400, openai("no", code="invalid_encrypted_content")),
    (400, openai("The encrypted content gAAA...wXBV could not be verified.")),
    (400, openai('litellm.BadRequestError: AzureException - {"error": {"message": "The encrypted content gAAA...ehIc\ncould not be verified."}}')),
    (400, openai("Error from provider: reasoning `encrypted_content` was not issued to this caller")),
    (400, {"code": "invalid-argument", "error": "Could not decrypt the provided encrypted_content. Ensure the value is unmodified."}),
    (400, {"code": "invalid-argument", "error": "Could not decode the compaction blob. Ensure it is unmodified from the compact response."}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), CONTEXT)
def test_context_overflow_in_any_words_is_one_code(status: int, body: Any) -> None:
    error = refused(status, body)

    assert (error.http_status, error.code, error.type) == (400, "context_length_exceeded", "invalid_request_error")


@pytest.mark.parametrize(("status", "body"), SEALED)
def test_reasoning_that_cannot_be_opened_is_one_code_in_any_words(status: int, body: Any) -> None:
    error = refused(status, body)

    assert (error.http_status, error.code, error.type) == (400, "invalid_encrypted_content", "invalid_request_error")


@pytest.mark.parametrize(("status", "body"), QUOTA)
def test_no_money_in_any_words_is_one_code_and_no_retry(status: int, body: Any) -> None:
    error = refused(status, body)

    assert (error.http_status, error.code, error.type) == (429, "insufficient_quota", "insufficient_quota")


@pytest.mark.parametrize("code", sorted(SPENT))
def test_a_closer_word_for_no_money_stays_and_the_key_rests(code: str) -> None:
    """OpenAI's guide: "inspect error.code" for what is to be raised, paid or waited for."""
    error = refused(429, openai("You exceeded your current quota", type="insufficient_quota", code=code))

    assert (error.http_status, error.code, error.type) == (429, code, "insufficient_quota")
    assert (fault_of(error), failed_error(error)["code"]) == (Fault.SPENT, code)
    told = told_in_stream(error, ClientTraits.CODEX_EARLY)
    assert told is not None
    assert told.code == "insufficient_quota"


@pytest.mark.parametrize(("status", "body"), MODEL)
def test_an_unknown_model_in_any_words_is_a_404(status: int, body: Any) -> None:
    error = refused(status, body)

    assert isinstance(error, ModelNotFound)
    assert (error.http_status, error.code) == (404, "model_not_found")


def test_a_refusal_names_the_field_that_the_upstream_named() -> None:
    for status, code in (
        (400, "bad"),
        (404, "model_not_found"),
        (429, "tpm"),
        (500, "oops"),
        (400, "context_too_long"),
    ):
        assert refused(status, openai("no", code=code, param="model")).param == "model"


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "context_length_exceeded"), (400, "insufficient_quota"), (400, "model_not_found"), (429, "")],
)
def test_what_the_upstream_says_goes_on_and_something_where_it_says_nothing(status: int, code: str) -> None:
    assert refused(status, openai("In other words, no.", code=code)).message == "In other words, no."
    assert refused(status, openai("", code=code)).message


@pytest.mark.parametrize(("code", "told"), [(1261, "context_length_exceeded"), (1113, "insufficient_quota")])
def test_a_servers_own_code_may_be_a_number(code: int, told: str) -> None:
    assert refused(400, openai("no", code=code)).code == told


def test_an_envelope_says_nothing_of_itself() -> None:
    error = refused(
        400, {"object": "error", "type": "error", "message": "no", "code": 400, "status": 400, "status_code": 400}
    )

    assert (error.type, error.details) == ("invalid_request_error", {})


def test_a_server_that_cannot_do_it_is_told_as_such_whatever_its_answer_looks_like() -> None:
    assert refused(501, b"<html>").http_status == 501


@pytest.mark.parametrize("word", ["two words", "x" * 65, "\u00e9t\u00e9", "a\tb", "", "4711"])
def test_a_code_or_type_that_is_no_word_does_not_go_on(word: str) -> None:
    told = refused(400, openai("no", code=word, type=word)).body()["error"]

    assert (told["code"], told["type"]) == ("upstream_error", "invalid_request_error")
    assert refused(400, openai("no", code="x" * 64)).code == "x" * 64


@pytest.mark.parametrize("place", ["code", "type"])
@pytest.mark.parametrize(
    ("word", "status", "meaning"),
    [
        *(
            (word, 400, "context_length_exceeded")
            for word in (
                "context_length_exceeded",
                "context_window_exceeded",
                "exceed_context_size_error",
                "context_too_long",
                "string_above_max_length",
                "1261",
            )
        ),
        *(
            (word, 429, "insufficient_quota")
            for word in (
                "insufficient_quota",
                "insufficient_balance",
                "insufficient_user_quota",
                "billing_hard_limit_reached",
                "billing_not_active",
                "exceeded_current_quota_error",
                "Arrearage",
                "budget_exceeded",
                "1113",
            )
        ),
        *((word, 429, word) for word in sorted(SPENT)),
        *(
            (word, 404, "model_not_found")
            for word in (
                "model_not_found",
                "ModelNotFound",
                "model_not_exist",
                "invalid_model",
                "DeploymentNotFound",
                "1211",
            )
        ),
    ],
)
def test_a_servers_own_code_is_enough_whatever_its_status_and_words(
    place: str, word: str, status: int, meaning: str
) -> None:
    error = refused(500, {"error": {"message": "no", place: word}})

    assert error.http_status == status
    assert error.code == (meaning if place == "code" or word not in SPENT else "insufficient_quota")


@pytest.mark.parametrize(("status", "code"), [(429, ""), (400, "rate_limit_exceeded")])
def test_a_rate_limit_speaks_of_tokens_and_models_and_is_one(status: int, code: str) -> None:
    for words in ("Please reduce the length of the messages", "The model `x` is not found"):
        error = refused(status, openai(words, code=code))

        assert error.code == "rate_limit_exceeded"


@pytest.mark.parametrize(
    "words",
    [
        "Unsupported value: 'temperature' does not support 0.2 with this model.",
        "tools[0].function.name is too long",
        "Invalid schema for function 'f'",
        "Rate limit reached for model `x` on tokens per min: Limit 1, Used 1. Too many tokens.",
    ],
)
def test_other_refusals_keep_their_own_meaning(words: str) -> None:
    error = refused(400, openai(words, param="tools", code="invalid_value"))

    assert isinstance(error, UpstreamRefused)
    assert (error.http_status, error.code, error.param, error.message) == (400, "invalid_value", "tools", words)


@pytest.mark.parametrize(
    "words",
    [
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        "Failed to parse tool call arguments as JSON: [json.exception.parse_error.101] parse error at line 1, column 4",
        "Failed to parse tools: Unsupported tool type: {}; tools = []",
        "Failed to parse messages: Missing tool call type: {}",
    ],
)
def test_a_clients_fault_that_llama_cpp_calls_its_own_is_a_400_and_nobody_is_asked_again(words: str) -> None:
    """A server that answers is not unwell: five pictures sent to a model without eyes opened its breaker for everybody."""
    error = refused(500, {"error": {"code": 500, "message": words, "type": "server_error"}})

    assert (error.http_status, error.type, error.message) == (400, "invalid_request_error", words)
    assert fault_of(error) is Fault.CALLER


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_clients_fault_keeps_status_and_message(status: int) -> None:
    error = refused(status, openai("no good", param="x"))

    assert error.http_status == status
    assert error.body() == {
        "error": {"message": "no good", "type": "invalid_request_error", "param": "x", "code": "upstream_error"}
    }


def test_a_clients_fault_has_the_type_that_the_upstream_gave_it_and_a_param_only_where_that_is_a_name() -> None:
    given = refused(400, openai("no", type="image_parse_error", param={"at": 1})).body()["error"]
    without = refused(400, {"message": "no"}).body()["error"]

    assert (given["type"], given["param"]) == ("image_parse_error", None)
    assert (without["type"], without["param"]) == ("invalid_request_error", None)


def test_of_a_rate_limits_fields_only_those_that_say_where_the_client_stands_go_on() -> None:
    error = refused(429, openai("slow", code="tpm"), x_ratelimit_remaining_tokens="0", openai_processing_ms="7")

    assert (error.code, error.headers) == ("tpm", ((b"x-ratelimit-remaining-tokens", b"0"),))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body", "x"], "msg": "field required"}, {"msg": "bad"}]}, "x: field required; bad"),
        ({"object": "error", "message": {"detail": [{"msg": "extra"}]}}, "extra"),
        ({"error": "plain"}, "plain"),
        ({"error": "Unprocessable", "message": "field required"}, "field required"),
        ({"error_msg": "bad"}, "bad"),
        (
            {"success": False, "errors": [{"code": 7003, "message": "no route"}], "messages": [], "result": None},
            "no route",
        ),
        ({"error": {}, "message": "no"}, "no"),
        ({"message": "", "detail": "bad"}, "bad"),
        ({"detail": [{"loc": ["body", "x"]}]}, "The upstream refused the request with status 422."),
        ({"detail": []}, "The upstream refused the request with status 422."),
        ([], "The upstream refused the request with status 422."),
        (b"<html>", "The upstream refused the request with status 422."),
        (b"", "The upstream refused the request with status 422."),
        (b'"text"', "The upstream refused the request with status 422."),
    ],
)
def test_every_envelope_is_opened(body: Any, message: str) -> None:
    assert refused(422, body).message == message


@pytest.mark.parametrize(
    ("loc", "param", "message"),
    [
        (["body", "messages", 0, "role"], "messages[0].role", "messages[0].role: Field required"),
        (["body"], None, "Field required"),
        (["query", "api-version"], None, "Field required"),
        ("messages", None, "Field required"),
    ],
)
def test_fastapi_tells_the_place_in_its_own_way(loc: Any, param: str | None, message: str) -> None:
    error = refused(422, {"detail": [{"type": "missing", "loc": loc, "msg": "Field required", "input": {}}]})

    assert (error.param, error.message) == (param, message)


@pytest.mark.parametrize("status", [401, 403])
def test_the_operators_key_is_never_the_clients_fault(status: int) -> None:
    error = refused(status, openai("Incorrect API key provided: sk-abc123456"), own_key=True)

    assert isinstance(error, UpstreamAuth)
    assert error.http_status == 502
    assert "sk-" not in error.message


KEYS = {
    "Gemini": [
        {
            "error": {
                "code": 400,
                "message": "API key not valid. Please pass a valid API key.",
                "status": "INVALID_ARGUMENT",
                "details": [
                    {
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": "API_KEY_INVALID",
                        "domain": "googleapis.com",
                        "metadata": {"service": "generativelanguage.googleapis.com"},
                    },
                ],
            }
        }
    ],
    "xAI": {
        "code": "Client specified an invalid argument",
        "error": "Incorrect API key provided: na***ys. You can obtain an API key from https://console.x.ai.",
    },
}


@pytest.mark.parametrize("server", KEYS)
def test_a_key_that_is_refused_with_a_400_is_refused_all_the_same(server: str) -> None:
    """Another key may be good, and whoever asks through this server cannot mend it."""
    error = refused(400, KEYS[server], own_key=True)
    assert isinstance(error, UpstreamAuth)
    assert fault_of(error) is Fault.KEYLESS
    theirs = refused(400, KEYS[server], own_key=False)
    assert (theirs.http_status, theirs.code) == (401, "invalid_api_key")
    quoted = openai("messages[0]: 'API key not valid' is no role")
    assert fault_of(refused(400, quoted)) is Fault.CALLER


FLAGGED = {
    "OpenAI, a policy": openai("Blocked.", type="invalid_request_error", code="misalignment_policy_violation"),
    "OpenAI, cyber": openai("Flagged.", type="invalid_request", code="cyber_policy"),
    "xAI": {
        "code": "The caller does not have permission to execute the specified operation",
        "error": "Content violates usage guidelines. Team: 5f1c2d3e-aaaa-bbbb-cccc-0123456789ab, API key ID: "
        "9a8b7c6d-1111-2222-3333-444455556666, Model: grok-4, Failed check: SAFETY_CHECK_TYPE_BIO",
    },
    "xAI, since 2026": {"code": "permission-denied", "error": "Content violates usage guidelines. "},
    "OpenRouter": openai("Your chosen model requires moderation and your input was flagged", code=403),
}


@pytest.mark.parametrize("server", FLAGGED)
def test_a_flagged_prompt_is_no_refused_key_and_the_operators_key_goes_on(server: str) -> None:
    error = refused(403, FLAGGED[server], own_key=True)

    assert isinstance(error, UpstreamRefused)
    assert error.http_status == 403
    assert fault_of(error) is Fault.CALLER
    assert "5f1c2d3e" not in error.message
    assert "9a8b7c6d" not in error.message


MISALIGNMENT = {
    "error_type": "potentially_unintended_data_access",
    "detailed_explanation": "It read sk-proj-abcdef123456 outside of its task.",
    "steer": {"message": "Ask before reading secrets."},
    "review_target": None,
}


def test_what_else_a_refusal_says_goes_on_scrubbed_and_a_failed_response_says_it_too() -> None:
    said = openai("Blocked.", code="misalignment_policy_violation", misalignment=MISALIGNMENT)
    told = {**MISALIGNMENT, "detailed_explanation": "It read [redacted] outside of its task."}

    error = refused(403, said, own_key=True)

    assert error.body()["error"] == {
        "message": "Blocked.",
        "type": "invalid_request_error",
        "param": None,
        "code": "misalignment_policy_violation",
        "misalignment": told,
    }
    assert failed_error(error) == {"code": "misalignment_policy_violation", "message": "Blocked.", "misalignment": told}


@pytest.mark.parametrize(
    ("status", "members"),
    [
        pytest.param(400, {"innererror": {"code": "ResponsibleAIPolicyViolation"}}, id="Azure"),
        pytest.param(429, {"plan_type": "plus", "resets_at": 1_760_000_000}, id="ChatGPT"),
        pytest.param(403, {"metadata": {"reasons": ["violence"], "provider_name": "OpenAI"}}, id="OpenRouter"),
    ],
)
def test_members_that_clients_of_one_server_look_for_stand_behind_the_four(status: int, members: Any) -> None:
    error = refused(status, openai("your input was flagged", **members), own_key=True)

    assert list(error.body()["error"]) == ["message", "type", "param", "code", *members]
    assert error.details == members


def test_what_stands_beside_an_error_is_no_part_of_it() -> None:
    said = {"id": "chatcmpl-1", "choices": [], "status": 429, "error": "Too Many Requests"}

    assert from_error_object(said).details == {}
    assert refused(400, {"error": "no", "user": "u-1", "trace": "t"}).details == {}
    assert refused(400, {"error": {"message": "no", "why": "x"}, "trace": "t"}).details == {"why": "x"}


def test_what_else_a_server_in_trouble_or_at_odds_with_the_operator_says_does_not_go_on() -> None:
    for status in (401, 403, 500, 503):
        assert refused(status, openai("no", trace="/srv/app.py:12"), own_key=True).details == {}


def test_what_else_a_refusal_says_names_no_account_and_not_where_it_stands() -> None:
    """Google names the project of the key, OpenRouter repeats its header fields; a member's name may say what its text is."""
    google = {"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"consumer": "projects/764086051850", "service": "g.com"}}
    openrouter = {"headers": {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0"}, "provider_name": "OpenAI"}
    members = {"details": [google], "metadata": openrouter, "team_id": "3e2c", "api_key": "0123456789", "key": "seed"}

    assert refused(429, openai("Slow down", **members)).details == {
        "details": [{"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"consumer": "[redacted]", "service": "g.com"}}],
        "metadata": {"headers": {}, "provider_name": "OpenAI"},
        "team_id": "[redacted]",
        "api_key": "[redacted]",
        "key": "seed",
    }


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("for consumer 'project_number:764086051850'.", "for consumer 'project_number:[redacted]'."),
        ("`projects/my-own/locations/us-central1` is busy", "`projects/[redacted]/locations/us-central1` is busy"),
        ("cannot load https://x.org/projects/cat.png", "cannot load https://x.org/projects/cat.png"),
    ],
)
def test_a_message_does_not_name_the_project_of_a_key(said: str, told: str) -> None:
    assert scrubbed(said) == told


@pytest.mark.parametrize("depth", [252, 253, 300])
def test_what_else_is_nested_deeply_goes_on_where_a_client_can_be_told_it(depth: int) -> None:
    nest = b"[" * depth + b"1" + b"]" * depth
    error = refused(400, b'{"error":{"message":"no","nest":%b}}' % nest)

    assert b'"message":"no"' in dumps({"type": "response.failed", "response": {"error": failed_error(error)}})


def test_very_much_else_does_not_go_on() -> None:
    assert refused(400, openai("no", echo="x" * 1000)).details == {"echo": "x" * 1000}
    assert refused(400, openai("no", echo=["x" * 1000] * 8)).details == {}


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_api_key"), (403, "permission_denied")])
def test_the_clients_own_key_is(status: int, code: str) -> None:
    error = refused(status, openai("Incorrect API key provided: sk-abc123456"), own_key=False)

    assert (error.http_status, error.code) == (status, code)
    assert error.message == "Incorrect API key provided: [redacted]"
    kept = refused(status, openai("", code="key_expired", type="auth"), own_key=False)
    assert (kept.code, kept.type, kept.message) == ("key_expired", "auth", "The upstream refused the key.")
    assert refused(status, {"message": "no"}, own_key=False).type == "invalid_request_error"


@pytest.mark.parametrize("status", [413, 431])
def test_too_large_is_413(status: int) -> None:
    error = refused(status, openai("body too big", param="input"))

    assert isinstance(error, PayloadTooLarge)
    assert (error.http_status, error.message, error.param) == (413, "body too big", "input")


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry_after": "7"}, "", 7),
        ({"retry_after": "1.2"}, "", 2),
        ({"retry_after_ms": "1500", "retry_after": "9"}, "", 2),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, "", 30),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT"}, "", 1),
        ({"retry_after": "-4"}, "", 0),
        ({"retry_after": "inf"}, "", 1),
        ({"retry_after": "soon"}, "", 1),
        ({"retry_after": "soon", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, "", 1),
        ({"retry_after": "7"}, "Please try again in 20s.", 7),
        ({}, "Rate limit reached. Please try again in 1m2.5s.", 63),
        ({}, "Please try again in 1h13m59.52s. Need more tokens?", 4440),
        ({}, "Please retry after 2 minutes.", 120),
        ({}, "Please retry after 1 hour 5 Min, or upgrade.", 3900),
        ({}, "Please try again in 12m", 720),
        ({}, "Please try again in 6 seconds.", 6),
        ({}, "Please try again in 20ms.", 1),
        ({}, "Please try again in 1500 ms.", 2),
        ({}, "Please try again in 1500 milliseconds.", 1),
        ({}, f"Please try again in {'9' * 400}s.", 1),
        ({}, "Please try again in 99999999 h.", 7 * 24 * 3600),
        ({}, "", 1),
    ],
)
def test_rate_limits_keep_how_long_to_wait(headers: dict[str, str], message: str, seconds: int) -> None:
    error = refused(429, openai(message, type="tokens", code="rate_limit_exceeded"), **headers)

    assert isinstance(error, UpstreamLimited)
    assert error.retry_after == seconds
    assert (error.http_status, error.type, error.code) == (429, "tokens", "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("headers", "resets", "seconds"),
    [
        ({}, 188000, 188000),
        ({}, 0.5, 1),
        ({"retry_after": "7"}, 188000, 7),
        ({}, "soon", 1),
        ({}, None, 1),
        ({}, -5, 0),
    ],
)
def test_a_plan_that_is_used_up_says_when_it_begins_anew(headers: dict[str, str], resets: Any, seconds: int) -> None:
    """ChatGPT's, which says it in the error alone."""
    said = {"type": "usage_limit_reached", "plan_type": "plus", "resets_in_seconds": resets}
    error = refused(429, {"error": {"message": "The usage limit has been reached", **said}}, **headers)

    assert (error.http_status, error.retry_after) == (429, seconds)
    assert error.details["plan_type"] == "plus"


@pytest.mark.parametrize("name", ["retry-after", "llm_provider-retry-after"])
def test_litellm_passes_on_how_long_its_provider_wants_to_be_left(name: str) -> None:
    body = openai(
        "litellm.RateLimitError: RateLimitError: OpenAIException - slow down", type="throttling_error", code="429"
    )
    error = from_http(429, {name: "60"}, orjson.dumps(body), own_key=True)

    assert (type(error), error.retry_after, error.code) == (UpstreamLimited, 60, "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"retry_after": "11"}, openai("You exceeded your current quota")),
        (
            {},
            [
                {
                    "error": {
                        "code": 429,
                        "message": "You exceeded your current quota, please check your plan and billing details. \n* Quota exceeded for metric: generate_content_free_tier_requests, limit: 5\nPlease retry in 10.673410956s.",
                        "status": "RESOURCE_EXHAUSTED",
                    }
                }
            ],
        ),
    ],
)
def test_a_rate_limit_worded_as_quota_with_a_wait_is_a_rate_limit(headers: dict[str, str], body: Any) -> None:
    error = refused(429, body, **headers)

    assert (type(error), error.retry_after) == (UpstreamLimited, 11)


def test_no_money_is_no_rate_limit_though_the_server_says_when_to_come_again() -> None:
    error = refused(429, {"error": {"code": "1113", "message": "\u4f59\u989d\u4e0d\u8db3"}}, retry_after="30")

    assert error.code == "insufficient_quota"
    assert refused(400, openai("Insufficient Balance"), retry_after="30").code == "insufficient_quota"


@pytest.mark.parametrize(
    ("status", "shown"),
    [(500, 500), (502, 502), (503, 503), (504, 504), (529, 503), (408, 408), (409, 409), (425, 425)],
)
def test_server_errors_in_json_keep_their_class_and_may_be_retried(status: int, shown: int) -> None:
    error = refused(status, openai("overloaded", type="server_error", code="slow_down"), retry_after="3")

    assert isinstance(error, UpstreamUnwell)
    assert (error.http_status, error.message, error.code, error.retry_after) == (shown, "overloaded", "slow_down", 3)


@pytest.mark.parametrize("body", [b"<html>Bad gateway: secret</html>", b"upstream connect error"])
def test_server_errors_in_html_or_text_are_never_forwarded(body: bytes) -> None:
    error = refused(503, body)

    assert isinstance(error, UpstreamBadContent)
    assert error.http_status == 502
    assert body.decode() not in error.message


@pytest.mark.parametrize("status", [500, 503, 529])
def test_c18_a_server_error_without_a_body_is_a_bad_gateway_that_says_when_to_come_again(status: int) -> None:
    error = refused(status, retry_after="7")

    assert (error.http_status, error.retry_after) == (502, 7)
    assert refused(status).retry_after is None


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ({"message": "x", "type": "server_error", "code": "server_error"}, 502, "server_error"),
        ({"message": "x", "code": 429}, 429, "rate_limit_exceeded"),
        ({"message": "x", "code": "rate_limit_exceeded"}, 429, "rate_limit_exceeded"),
        ({"message": "x", "type": "overloaded_error"}, 503, "server_is_overloaded"),
        *(
            ({"message": "x", "code": code}, 400, code)
            for code in sorted(ABOUT_INPUT - {"misalignment_policy_violation"})
        ),
        ({"message": "x", "code": "misalignment_policy_violation"}, 403, "misalignment_policy_violation"),
        ({"message": "x", "code": "flex_unavailable"}, 429, "flex_unavailable"),
        ({"message": "x", "code": "content_filter"}, 400, "content_filter"),
        ({"message": "x", "code": "cyber_policy"}, 400, "cyber_policy"),
        ({"message": "x", "code": "vector_store_timeout"}, 502, "vector_store_timeout"),
        ({"message": "bad key", "type": "authentication_error"}, 502, "upstream_auth"),
        ({"error": {"message": "prompt is too long"}}, 400, "context_length_exceeded"),
        ({"type": "error", "error": {"message": "x", "code": "insufficient_quota"}}, 429, "insufficient_quota"),
        ({"message": "x", "code": 400}, 400, "upstream_error"),
        ({"message": "x", "code": "429"}, 429, "rate_limit_exceeded"),
        ({"message": "x", "code": "4290"}, 502, "upstream_error"),
        ({"message": "x", "code": "²²²"}, 502, "upstream_error"),
        ({"message": "x", "code": 200}, 502, "upstream_error"),
        ({"message": "x", "code": 999}, 502, "upstream_error"),
        ({"message": "x", "status": 404}, 404, "upstream_error"),
        ({"message": "x", "status_code": 422}, 422, "upstream_error"),
        ({"error": "Too Many Requests", "status": 429, "message": "x"}, 429, "rate_limit_exceeded"),
        (None, 502, "upstream_error"),
        (7, 502, "upstream_error"),
    ],
)
def test_errors_inside_a_success_or_a_stream(error: Any, status: int, code: str) -> None:
    found = from_error_object(error)

    assert (found.http_status, found.code) == (status, code)


def test_a_failed_responses_codes_for_what_its_client_sent_are_those_of_the_sdk() -> None:
    codes = set(get_args(ResponseError.model_fields["code"].annotation))

    assert codes - {"server_error", "rate_limit_exceeded", "vector_store_timeout"} | {"cyber_policy"} == ABOUT_INPUT


def test_an_error_in_a_stream_that_is_only_words_says_them() -> None:
    found = from_error_object("words")

    assert (found.http_status, found.code, found.message) == (502, "upstream_error", "words")


@pytest.mark.parametrize("place", ["code", "type"])
@pytest.mark.parametrize(
    ("word", "kind", "status"),
    [
        *(
            (word, UpstreamRefused, 400)
            for word in ("invalid_request_error", "invalid_request", "BadRequestError", "invalid_encrypted_content")
        ),
        *((word, UpstreamRefused, 400) for word in ("content_filter", "content_policy_violation", "invalid_prompt")),
        *((word, UpstreamAuth, 502) for word in ("authentication_error", "invalid_api_key", "permission_error")),
        *((word, UpstreamRefused, 404) for word in ("not_found_error", "not_found", "NotFoundError")),
        *(
            (word, UpstreamLimited, 429)
            for word in ("rate_limit_error", "rate_limit_exceeded", "too_many_requests", "tokens", "requests")
        ),
        *(
            (word, UpstreamUnwell, 503)
            for word in ("overloaded", "server_is_overloaded", "slow_down", "service_unavailable", "unavailable_error")
        ),
    ],
)
def test_an_error_in_a_stream_has_the_status_of_its_kind(
    place: str, word: str, kind: type[AdapterError], status: int
) -> None:
    found = from_error_object({"message": "x", place: word})

    assert (type(found), found.http_status) == (kind, status)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdef123456",
        "Bearer abc.def.ghi",
        "org-AbCdEf123456",
        "sk-abc***xyz",
        "AIzaSyA123456789",
        "gsk_abcdef12345",
    ],
)
def test_what_looks_like_a_key_is_scrubbed(secret: str) -> None:
    assert secret not in refused(400, openai(f"in `{secret}` it failed")).message


def test_ordinary_words_are_not_scrubbed() -> None:
    words = "The api_key parameter and max_tokens: 5000 of user-facing risk-free tasks; key-related token counts, user-supplied org-structure"

    assert scrubbed(words) == words


def test_long_messages_are_cut_and_halves_of_characters_replaced() -> None:
    assert len(refused(400, openai("x" * 9000)).message) == MAX_MESSAGE
    scrubbed("\ud800").encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "detail", "status"]), inner)
    ),
    max_leaves=12,
)


@given(json_values)
def test_whatever_the_error_says_it_is_one_of_ours(value: Any) -> None:
    for error in (from_error_object(value), from_error_object({"error": value})):
        assert isinstance(error, AdapterError)
        assert 400 <= error.http_status < 600
        orjson.dumps(error.body())


@given(st.binary(), st.integers(400, 599), st.booleans(), st.text(), st.text())
def test_whatever_the_answer_holds_it_is_one_of_ours(
    raw: bytes, status: int, own_key: bool, wait: str, date: str
) -> None:
    error = from_http(status, {"retry-after": wait, "date": date}, raw, own_key=own_key)

    orjson.dumps(error.body())


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (529, {"message": "Overloaded"}),
        (529, {"type": "overloaded_error", "message": "Overloaded"}),
        (503, {"type": "overloaded_error", "message": "Overloaded"}),
    ],
)
def test_an_overloaded_upstream_is_said_in_the_code_that_clients_know(status: int, said: dict[str, str]) -> None:
    error = from_http(status, {}, orjson.dumps({"error": said}), own_key=True)

    assert (error.http_status, error.code) == (503, "server_is_overloaded")
