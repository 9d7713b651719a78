"""Plain Chat replies, read and written."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.dialects import chat
from adapter.errors import AdapterError, UpstreamInvalid
from adapter.hub.events import Finished, Started
from adapter.hub.fold import Answer, fold
from adapter.hub.grammar import check_hub
from adapter.hub.usage import normal
from tests.dialects.chat.making import call, exchange
from tests.validator import load

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def reply(message: Any, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "m", "choices": [choice], **more}


def read(body: Any, **asked: Any) -> Answer:
    events, _ = chat.read_reply(body, exchange(**asked))
    assert check_hub(events) == []
    return fold(events)


def written(*outputs: list[dict[str, Any]], reason: Any = None, usage: Any = None, **asked: Any) -> dict[str, Any]:
    status: Any = "incomplete" if reason else "completed"
    answers = [
        Answer("resp_1", "m", 5, status, reason, dict(enumerate(output)), usage and normal(usage)) for output in outputs
    ]
    value = chat.write_reply(answers, exchange("chat", **asked))
    validator = load()
    if validator is not None:
        assert validator.errors(validator.check(value, "chat.response")) == []
    return value


def message_of(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    (choice,) = written(list(output), **more)["choices"]
    found: dict[str, Any] = choice["message"]
    return found


def text_item(*texts: str, **more: Any) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": [], "logprobs": [], **more} for text in texts]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": parts}


def call_item(name: str = "f", arguments: str = "{}", call_id: str = "a", **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": name, "arguments": arguments, **more}


# ------------------------------------------------------------------------------------------------------------- reading


def test_a_message_becomes_items_in_their_order() -> None:
    body = {
        "role": "assistant",
        "content": "x",
        "refusal": None,
        "reasoning_content": "hm",
        "tool_calls": [call(id="a", name="f", arguments="{}"), call(id="b", name="patch", arguments='{"input":"p"}')],
    }
    answer = read(reply(body, "tool_calls", usage=USAGE, service_tier="flex"))

    assert [item["type"] for item in answer.output] == ["reasoning", "message", "function_call", "custom_tool_call"]
    assert answer.output[3]["input"] == "p"
    assert (answer.id, answer.model, answer.created_at, answer.status) == ("resp_1", "m", 5, "completed")
    assert (answer.usage, answer.extra) == (normal(USAGE), {"service_tier": "flex"})


def test_every_entry_of_tool_calls_is_a_call_whatever_its_index_and_id() -> None:
    calls = [call(index=0, name="f", arguments=""), call(index=0, name="f", arguments="")]
    answer = read(reply({"role": "assistant", "content": None, "tool_calls": calls}))

    assert [(item["name"], item["arguments"]) for item in answer.output] == [("f", "{}"), ("f", "{}")]


@pytest.mark.parametrize("name", ["f", "patch"])
def test_arguments_that_are_an_object_are_its_json(name: str) -> None:
    """Ollama's own API gives them so, and so do servers made after it."""
    said = reply({"content": None, "tool_calls": [call(0, "a", name, {"input": "x"})]})
    answer, _ = chat.read_answer(said, exchange())

    assert answer.output == read(said).output
    assert answer.output[0]["arguments" if name == "f" else "input"] == ('{"input":"x"}' if name == "f" else "x")


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_a_cut_reply_is_incomplete(finish: str, reason: str) -> None:
    answer = read(reply({"content": "x"}, finish))

    assert (answer.status, answer.reason, answer.output[0]["status"]) == ("incomplete", reason, "incomplete")


@pytest.mark.parametrize(("finish", "kind"), [(None, "finish_inferred"), ("eos", "finish_unknown")])
def test_a_finish_that_is_not_the_apis_is_an_anomaly(finish: Any, kind: str) -> None:
    events, anomalies = chat.read_reply(reply({"content": "x"}, finish), exchange())

    assert events[-1] == Finished("completed")
    assert [anomaly.kind for anomaly in anomalies] == [kind]


@pytest.mark.parametrize("content", [None, "", []])
def test_an_empty_reply_is_one_empty_message(content: Any) -> None:
    (item,) = read(reply({"role": "assistant", "content": content})).output

    assert [part["text"] for part in item["content"]] == [""]


def test_absent_head_fields_are_filled() -> None:
    events, _ = chat.read_reply({"choices": [{"message": {"content": "x"}}]}, exchange(), clock=lambda: 9)

    assert events[0] == Started("resp_0", "asked", 9)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "upstream_invalid"),
        (None, "upstream_invalid"),
        ({}, "upstream_invalid"),
        ({"choices": []}, "upstream_invalid"),
        ({"choices": [{"index": 0}]}, "upstream_invalid"),
        (reply({"content": "x"}, "error"), "upstream_error"),
        (reply({"tool_calls": [call(id="a", arguments="{}")]}), "upstream_invalid"),
        ({"error": {"message": "insufficient balance", "code": "402"}}, "insufficient_quota"),
        ({"message": "Model not exist.", "code": "InvalidParameter"}, "model_not_found"),
    ],
)
def test_what_is_no_answer_raises(body: Any, code: str) -> None:
    with pytest.raises(AdapterError) as raised:
        chat.read_reply(body, exchange())

    assert raised.value.code == code


@pytest.mark.parametrize(
    "body",
    [
        {"choices": []},
        {"error": {"message": "no"}},
        {"message": "no"},
        {"choices": [{"message": {}, "finish_reason": "error"}]},
        {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "error": {"message": "no"}},
    ],
)
def test_a_reply_that_passes_as_bytes_is_refused_where_it_is_none(body: dict[str, Any]) -> None:
    with pytest.raises(AdapterError):
        chat.check_reply(body)
    chat.check_reply(reply({"content": "x"}, "tool_calls"))


def test_no_object_is_upstream_invalid() -> None:
    with pytest.raises(UpstreamInvalid):
        chat.read_reply("text", exchange())


# ------------------------------------------------------------------------------------------------------------- writing


def test_the_whole_object_of_a_text_answer() -> None:
    assert written([text_item("a", "b"), text_item("c")], usage=USAGE) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "abc", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_calls_alone_have_null_content_and_finish_tool_calls() -> None:
    custom = {"type": "custom_tool_call", "call_id": "b", "name": "p", "input": "i", "namespace": "n"}
    (choice,) = written([call_item(), custom])["choices"]

    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "custom", "custom": {"name": "p", "input": "i"}},
    ]


def test_a_call_that_was_cut_before_its_arguments_has_none() -> None:
    """`{}` would be arguments that nobody gave; the stream of the same answer has none either."""
    (made,) = message_of(call_item(arguments="", status="incomplete"), reason="max_output_tokens")["tool_calls"]

    assert made["function"] == {"name": "f", "arguments": ""}


def test_the_deprecated_pair_is_answered_in_its_own_form() -> None:
    (choice,) = written([call_item(arguments="{1}")], carry={"functions": True})["choices"]

    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{1}"}
    assert "tool_calls" not in choice["message"]


def test_a_refusal_has_null_content() -> None:
    item = text_item() | {"content": [{"type": "refusal", "refusal": "no"}]}

    assert message_of(item) == {"role": "assistant", "content": None, "refusal": "no"}


def test_reasoning_is_one_string_of_paragraphs() -> None:
    first = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
    }
    second = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "c"}]}

    assert message_of(first, second, text_item("x"))["reasoning_content"] == "a\n\nb\n\nc"


@pytest.mark.parametrize("output", [[], [{"type": "reasoning", "summary": [], "encrypted_content": "e"}]])
def test_nothing_said_is_empty_content(output: list[dict[str, Any]]) -> None:
    assert message_of(*output)["content"] == ""


def test_annotations_are_nested_and_shifted_and_only_citations() -> None:
    citation = {"type": "url_citation", "start_index": 1, "end_index": 2, "url": "https://u.example/", "title": "t"}
    message = message_of(text_item("abc"), text_item("def", annotations=[citation, {"type": "file_citation"}]))

    assert message["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"start_index": 4, "end_index": 5, "url": "https://u.example/", "title": "t"},
        }
    ]


def test_logprobs_have_both_keys() -> None:
    entry = {"token": "x", "logprob": -1.0, "bytes": [120], "top_logprobs": []}
    (choice,) = written([text_item("x", logprobs=[entry])])["choices"]

    assert choice["logprobs"] == {"content": [entry], "refusal": None}


@pytest.mark.parametrize(("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter")])
def test_incomplete_answers_have_their_finish(reason: str, finish: str) -> None:
    (choice,) = written([text_item("x"), call_item()], reason=reason)["choices"]

    assert choice["finish_reason"] == finish


def test_several_answers_are_several_choices_and_one_usage() -> None:
    value = written([text_item("a")], [text_item("b")], usage=USAGE, carry={"n": 2})

    assert [(choice["index"], choice["message"]["content"]) for choice in value["choices"]] == [(0, "a"), (1, "b")]
    assert value["usage"]["total_tokens"] == 14


def test_tiers_that_the_api_does_not_know_are_not_shown() -> None:
    answer = Answer("resp_1", "m", 5, "completed", extra={"service_tier": "on_demand", "system_fingerprint": "fp"})
    value = chat.write_reply([answer], exchange("chat"))

    assert "service_tier" not in value
    assert value["system_fingerprint"] == "fp"
