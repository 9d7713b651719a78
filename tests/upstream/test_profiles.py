"""Capabilities as data: every shipped profile loads, every slip is explained."""

from __future__ import annotations

import pytest

from adapter.errors import ConfigError
from adapter.upstream.profiles import GENERIC, CallIdRule, profile, profile_names

PROMISED = {
    "openai", "azure", "azure-2024-10-21", "vllm", "sglang", "llama.cpp", "llama-cpp-python", "ollama", "lmstudio", "deepseek", "qwen", "dashscope", "moonshot",
    "zhipu", "mistral", "volcengine", "anthropic", "gemini", "groq", "openrouter", "xai", "together", "fireworks", "litellm", "generic",
}  # fmt: skip


def test_every_promised_profile_ships() -> None:
    assert set(profile_names()) == PROMISED


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_profile_loads(name: str) -> None:
    assert profile(name).name == name


def test_generic_is_the_default() -> None:
    assert profile("generic") == GENERIC


def test_user_overrides_any_key() -> None:
    mine = profile("mistral", {"images": False, "call_id": {"max": 12}, "accepts": ["stop"]})

    assert (mine.images, mine.call_id, mine.accepts) == (False, CallIdRule(max=12), frozenset({"stop"}))
    assert mine.assistant_null_content is False


def test_ollama_gets_no_effort_unless_its_operator_serves_a_model_that_takes_one() -> None:
    unsaid, told = profile("ollama"), profile("ollama", {"reasoning_effort": True})

    assert (unsaid.reasoning_effort, told.reasoning_effort) == (False, True)
    assert told.reasoning_efforts == ("none", "low", "medium", "high")


@pytest.mark.parametrize(
    ("name", "capabilities", "message"),
    [
        ("opnai", {}, "did you mean 'openai'"),
        ("openai", {"strict_tool": True}, "did you mean 'strict_tools'"),
        ("openai", {"images": "yes"}, "images: true or false, not 'yes'"),
        ("openai", {"name_max": 0}, "name_max: an integer above 0, not 0"),
        ("openai", {"min_output_tokens": True}, "min_output_tokens: an integer above 0, not True"),
        ("openai", {"late_system": "first"}, "not one of keep, user, lead"),
        ("openai", {"accepts": "stop"}, "a list of strings"),
        ("openai", {"accepts": ["stop", "tempeature"]}, "unknown 'tempeature', did you mean 'temperature'"),
        ("openai", {"responses_accepts": ["seed"]}, "unknown 'seed'"),
        ("openai", {"call_id": 40}, "a table with max, an integer from 8, and alphabet"),
        ("openai", {"call_id": {"maximum": 40}}, "a table with max"),
        ("openai", {"call_id": {"max": "40"}}, "a table with max"),
        ("openai", {"call_id": {"max": 7}}, "a table with max"),
        ("openai", {"call_id": {"alphabet": "alphanumeric"}}, "any, word or alnum"),
        ("openai", {"reasoning_summary": True}, "not one of auto, concise, detailed"),
    ],
)
def test_slip_is_explained(name: str, capabilities: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        profile(name, capabilities)
