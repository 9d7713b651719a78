"""Everything of a Responses request but its conversation and its tools, for servers that take more or less of it."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.dialects.chat.write_request import write_request
from adapter.errors import AdapterError, InvalidType, InvalidValue, PreviousResponseNotFound, UnsupportedParameter
from adapter.hub.request import Request
from adapter.upstream.profiles import GENERIC, Profile, profile
from tests.dialects.chat.writing import OPENAI, generic, lost, user, written


def fields(to: Profile = GENERIC, **body: Any) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    """The fields besides model, messages and stream, and the losses."""
    made = written(user(), to=to, **body)
    return {k: v for k, v in made.body.items() if k not in ("model", "messages", "stream")}, lost(made)


SCHEMA = {"type": "object", "properties": {}}
FORMAT = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}

GENERIC_CASES: list[tuple[dict[str, Any], dict[str, Any], list[tuple[str, str, str]]]] = [
    ({"temperature": 0.5, "top_p": 1}, {"temperature": 0.5, "top_p": 1}, []),
    ({"max_output_tokens": 9}, {"max_tokens": 9}, []),
    ({"text": {"format": {"type": "text"}, "verbosity": "medium"}}, {}, []),
    ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}, []),
    (
        {"text": {"format": FORMAT}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}},
        [],
    ),
    ({"text": {"verbosity": "low"}}, {}, [("text.verbosity", "dropped", "verbosity")]),
    ({"reasoning": {"effort": None, "summary": "auto", "context": "auto", "mode": "standard"}}, {}, []),
    (
        {"reasoning": {"effort": "low", "context": "all_turns"}},
        {},
        [
            ("reasoning.effort", "dropped", "reasoning.effort"),
            ("reasoning.context", "dropped", "reasoning.context"),
        ],
    ),
    ({"include": ["message.output_text.logprobs"], "top_logprobs": 0}, {"logprobs": True, "top_logprobs": 0}, []),
    ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}, []),
    (
        {"reasoning": {"max_tokens": 2000, "exclude": None}},
        {},
        [("reasoning.max_tokens", "dropped", "unknown_parameter")],
    ),
    ({"include": ["reasoning.encrypted_content"], "top_logprobs": 0}, {}, []),
    ({"store": True, "metadata": {}}, {}, []),
    ({"metadata": {"a": "b"}}, {}, [("metadata", "dropped", "metadata")]),
    (
        {"user": "u", "safety_identifier": "s"},
        {},
        [("user", "dropped", "user"), ("safety_identifier", "dropped", "safety_identifier")],
    ),
    ({"prompt_cache_key": "k", "prompt_cache_retention": "24h", "prompt_cache_options": {}}, {}, []),
    ({"service_tier": "auto"}, {}, []),
    ({"service_tier": "flex"}, {}, [("service_tier", "dropped", "service_tier")]),
    ({"truncation": "disabled"}, {}, []),
    ({"truncation": "auto"}, {}, [("truncation", "dropped", "truncation")]),
    ({"context_management": [{"type": "compaction"}]}, {}, [("context_management", "dropped", "context_management")]),
    ({"max_tool_calls": 3, "background": False, "client_metadata": {"a": "b"}, "provider": "x"}, {}, []),
    ({"provider": {"order": ["x"]}}, {}, [("provider", "dropped", "unknown_parameter")]),
    ({"stream_options": {"include_obfuscation": False}}, {}, []),
    ({"acme": 1}, {}, [("acme", "dropped", "unknown_parameter")]),
    ({"user": None, "text": {"format": None}, "reasoning": None, "conversation": None}, {}, []),
]


@pytest.mark.parametrize(("body", "expected", "losses"), GENERIC_CASES)
def test_a_setting_for_a_careful_server(body: Any, expected: Any, losses: Any) -> None:
    assert fields(**body) == (expected, losses)


OPENAI_CASES: list[tuple[dict[str, Any], dict[str, Any], list[tuple[str, str, str]]]] = [
    ({"max_output_tokens": 9}, {"max_completion_tokens": 9}, []),
    ({"reasoning": {"effort": "xhigh"}}, {"reasoning_effort": "xhigh"}, []),
    ({"text": {"verbosity": "low"}}, {"verbosity": "low"}, []),
    ({"service_tier": "flex"}, {"service_tier": "flex"}, []),
    (
        {"service_tier": "ultrafast"},
        {"service_tier": "priority"},
        [("service_tier", "approximated", "service_tier")],
    ),
    ({"store": True}, {"store": False}, []),
    ({"store": True, "metadata": {"a": "b"}}, {"store": False}, [("metadata", "dropped", "metadata")]),
    ({"user": "u", "prompt_cache_key": "k"}, {"user": "u", "prompt_cache_key": "k"}, []),
    (
        {"prompt_cache_options": {"mode": "explicit", "ttl": "30m", "prewarm": False}},
        {"prompt_cache_options": {"mode": "explicit", "ttl": "30m"}},
        [],
    ),
    (
        {"prompt_cache_options": {"ttl": "12h", "comparison_response_id": "resp_1"}},
        {"prompt_cache_options": {}},
        [
            ("prompt_cache_options.ttl", "dropped", "prompt_cache_options"),
            ("prompt_cache_options.comparison_response_id", "dropped", "prompt_cache_options"),
        ],
    ),
]


@pytest.mark.parametrize(("body", "expected", "losses"), OPENAI_CASES)
def test_a_setting_for_openai(body: Any, expected: Any, losses: Any) -> None:
    assert fields(OPENAI, **body) == (expected, losses)


@pytest.mark.parametrize(
    ("effort", "sent", "losses"),
    [
        ("low", "low", []),
        ("minimal", "low", [("reasoning.effort", "approximated", "reasoning.effort")]),
        ("ultra", "high", [("reasoning.effort", "approximated", "reasoning.effort")]),
        ("enormous", None, [("reasoning.effort", "dropped", "reasoning.effort")]),
    ],
)
def test_an_effort_goes_to_the_nearest_word_that_is_taken(effort: str, sent: str | None, losses: Any) -> None:
    profile = generic(reasoning_effort=True, reasoning_efforts=("low", "medium", "high"))
    assert fields(profile, reasoning={"effort": effort}) == (({"reasoning_effort": sent} if sent else {}), losses)


@pytest.mark.parametrize("taken", [(), ("default",)])
def test_an_effort_has_no_nearest_word_among_those_of_the_server_alone(taken: tuple[str, ...]) -> None:
    profile = generic(reasoning_effort=True, reasoning_efforts=taken)
    dropped = ("reasoning.effort", "dropped", "reasoning.effort")
    assert fields(profile, reasoning={"effort": "high"}) == ({}, [dropped])
    assert fields(profile, reasoning={"effort": "default"}) == (
        ({"reasoning_effort": "default"}, []) if taken else ({}, [dropped])
    )


def test_a_server_without_json_schema_is_told_the_schema_in_words() -> None:
    made = written(user(), instructions="a", text={"format": FORMAT}, to=generic(response_format="json_object"))

    assert made.body["response_format"] == {"type": "json_object"}
    first = made.body["messages"][0]
    assert first["role"] == "system"
    assert first["content"].startswith("a\n\n")
    assert first["content"].endswith('{"type":"object","properties":{}}')
    assert lost(made) == [("text.format", "emulated", "response_format")]


@pytest.mark.parametrize("form", [FORMAT, {"type": "json_object"}])
def test_a_server_without_any_format_is_told_in_words_alone(form: dict[str, Any]) -> None:
    made = written(user(), text={"format": form}, to=generic(response_format="none"))

    assert "response_format" not in made.body
    assert "JSON object" in made.body["messages"][0]["content"]
    assert lost(made) == [("text.format", "emulated", "response_format")]


def test_streams_ask_for_usage_where_they_can() -> None:
    request = Request({"model": "m", "input": [user()]}, stream=True)

    assert write_request(request, GENERIC).body["stream_options"] == {"include_usage": True}
    assert "stream_options" not in write_request(request, generic(stream_options=False)).body
    assert written(user()).body["stream"] is False


def carried(to: Profile, **carry: Any) -> Any:
    return write_request(Request({"model": "m", "input": [user()]}, dialect="chat", carry=carry), to)  # type: ignore[arg-type]


def test_what_only_chat_can_say_goes_where_it_is_taken() -> None:
    made = carried(GENERIC, stop=["x"], seed=1, presence_penalty=0.5, n=3, functions=True)

    assert {k: v for k, v in made.body.items() if k not in ("model", "messages", "stream")} == {
        "stop": ["x"],
        "seed": 1,
        "presence_penalty": 0.5,
    }
    assert (made.exchange.stop, made.losses) == ((), [])


def test_what_is_not_taken_is_emulated_or_reported_and_nothing_where_it_means_nothing() -> None:
    made = carried(generic(accepts=frozenset()), stop=["x"], seed=0, presence_penalty=0, prediction={"type": "content"})

    assert made.exchange.stop == ("x",)
    assert lost(made) == [("seed", "dropped", "seed"), ("prediction", "dropped", "prediction")]


def test_a_chat_clients_own_words_go_on_and_losses_name_its_own_paths() -> None:
    body = {"model": "m", "input": [user()], "top_k": 3, "store": True, "metadata": {"a": "b"}}
    body |= {"text": {"format": FORMAT}, "provider": {"order": ["x"]}}
    openai = write_request(Request(body, dialect="chat"), OPENAI)
    poor = write_request(Request(body, dialect="chat"), generic(response_format="none"))

    assert (openai.body["top_k"], openai.body["store"], openai.body["metadata"]) == (3, True, {"a": "b"})
    assert openai.body["provider"] == {"order": ["x"]}
    assert lost(poor) == [("metadata", "dropped", "metadata"), ("response_format", "emulated", "response_format")]


@pytest.mark.parametrize(
    ("body", "error", "param"),
    [
        ({"background": True}, UnsupportedParameter, "background"),
        ({"conversation": "conv_1"}, UnsupportedParameter, "conversation"),
        ({"prompt": {"id": "p"}}, UnsupportedParameter, "prompt"),
        ({"prompt_cache_options": {"prewarm": True}}, UnsupportedParameter, "prompt_cache_options.prewarm"),
        ({"previous_response_id": "resp_1"}, PreviousResponseNotFound, "previous_response_id"),
        ({"instructions": 5}, InvalidType, "instructions"),
        ({"max_output_tokens": "5"}, InvalidType, "max_output_tokens"),
        ({"reasoning": 5}, InvalidType, "reasoning"),
        ({"text": {"format": {"type": "xml"}}}, InvalidValue, "text.format.type"),
    ],
)
def test_what_would_change_the_answer_is_refused(body: Any, error: type[AdapterError], param: str) -> None:
    with pytest.raises(error) as refused:
        written(user(), **body)

    assert refused.value.param == param


def test_alternatives_that_cannot_be_had_beside_logprobs_are_reported() -> None:
    """Together gives the log probability of each token and none of others."""

    bare = generic(accepts=frozenset({"logprobs"}))
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}

    assert fields(bare, **asked) == ({"logprobs": True}, [("top_logprobs", "dropped", "top_logprobs")])
    assert fields(bare, **asked | {"top_logprobs": 0}) == ({"logprobs": True}, [])


def test_azures_dated_api_is_told_what_its_specification_has() -> None:
    """A 400 "Unrecognized request argument supplied" otherwise."""
    asked = {"max_output_tokens": 9, "reasoning": {"effort": "low"}, "service_tier": "flex", "user": "u"}
    made = written(user(), instructions="Be brief.", prompt_cache_key="k", to=profile("azure-2024-10-21"), **asked)

    assert made.body.keys() == {"model", "messages", "max_tokens", "user", "stream"}
    assert made.body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert {path for path, _, _ in lost(made)} == {"reasoning.effort", "service_tier"}


@pytest.mark.parametrize(
    ("to", "asked", "sent"),
    [("groq", "xhigh", "high"), ("groq", "max", "high"), ("xai", "max", "xhigh"), ("xai", "minimal", "low")],
)
def test_an_effort_word_that_no_model_of_theirs_takes_is_not_sent(to: str, asked: str, sent: str) -> None:
    assert fields(profile(to), reasoning={"effort": asked})[0] == {"reasoning_effort": sent}


@pytest.mark.parametrize(("asked", "sent"), [("medium", "medium"), ("xhigh", "xhigh"), ("none", "minimal")])
def test_deepseek_is_told_the_effort_but_not_that_there_is_to_be_none(asked: str, sent: str) -> None:
    """It thinks or not by a setting of its own."""
    made, losses = fields(profile("deepseek"), reasoning={"effort": asked})

    assert made == {"reasoning_effort": sent}
    assert losses == ([("reasoning.effort", "approximated", "reasoning.effort")] if asked == "none" else [])
