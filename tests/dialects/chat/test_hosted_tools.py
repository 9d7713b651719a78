"""A Chat client that offers what Responses servers run, in their words: Open WebUI, LibreChat, scripts that came from Responses."""

from __future__ import annotations

from typing import Any

import pytest

from adapter import translate
from adapter.errors import BadRequest
from adapter.hub.request import DialectName

Json = dict[str, Any]
SEARCH: Json = {"type": "web_search", "search_context_size": "low", "filters": {"allowed_domains": ["example.com"]}}
HOSTED: list[Json] = [
    SEARCH,
    {"type": "web_search_preview"},
    {"type": "image_generation", "quality": "low", "output_format": "png"},
    {"type": "mcp", "server_label": "s", "server_url": "https://example.com/mcp", "require_approval": "never"},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
]
FUNCTION: Json = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
ZHIPUS: Json = {"type": "web_search", "web_search": {"enable": True}}


def asked(to: DialectName, profile: str, **fields: Any) -> tuple[Json, list[str]]:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    made = translate.request(body, "chat", to, profile=profile)
    return made.value, [loss.path for loss in made.losses]


@pytest.mark.parametrize("profile", ["openai", "generic"])
def test_they_go_as_they_are_to_a_server_that_may_run_them(profile: str) -> None:
    body, losses = asked("responses", profile, tools=[FUNCTION, *HOSTED])

    assert body["tools"][0]["name"] == "f"
    assert body["tools"][1:] == HOSTED
    assert losses == []


@pytest.mark.parametrize(
    ("profile", "kinds"),
    [
        ("xai", ["web_search", "mcp", "code_interpreter", "file_search"]),
        ("ollama", ["web_search"]),
        ("lmstudio", ["mcp"]),
    ],
)
def test_of_them_a_server_that_knows_few_is_sent_what_it_knows(profile: str, kinds: list[str]) -> None:
    body, losses = asked("responses", profile, tools=HOSTED)

    assert [tool["type"] for tool in body["tools"]] == kinds
    assert losses == [f"tools[{place}]" for place, tool in enumerate(HOSTED) if tool["type"] not in kinds]


def test_a_search_is_told_as_what_the_client_called_it() -> None:
    """As a tool, or as Chat's own setting."""
    assert asked("responses", "llama.cpp", tools=[SEARCH])[1] == ["tools[0]"]
    assert asked("responses", "llama.cpp", tools=[FUNCTION], web_search_options={})[1] == ["web_search_options"]
    assert asked("responses", "llama.cpp", tools=[SEARCH], web_search_options={})[1] == [
        "tools[0]",
        "web_search_options",
    ]


@pytest.mark.parametrize("tool", [ZHIPUS, {"type": "retrieval"}, {"type": "shell"}, {"type": "computer_use_preview"}])
def test_what_another_api_has_or_the_client_would_have_to_run_is_a_loss(tool: Json) -> None:
    body, losses = asked("responses", "openai", tools=[FUNCTION, tool])

    assert len(body["tools"]) == 1
    assert losses == ["tools[1]"]


def test_a_chat_server_that_is_reached_through_the_hub_is_not_sent_them() -> None:
    body, losses = asked("chat", "openai", tools=[FUNCTION, *HOSTED])

    assert [tool["type"] for tool in body["tools"]] == ["function"]
    assert losses == [f"tools[{place}]" for place in range(1, 7)]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("required", "required"),
        ({"type": "web_search"}, {"type": "web_search"}),
        ({"type": "mcp", "server_label": "s"}, {"type": "mcp", "server_label": "s"}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "image_generation"}]}},
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "image_generation"}]},
        ),
    ],
)
def test_they_may_be_chosen(choice: Any, sent: Any) -> None:
    body, losses = asked("responses", "openai", tools=HOSTED, tool_choice=choice)

    assert body["tool_choice"] == sent
    assert losses == []


@pytest.mark.parametrize(("to", "profile"), [("responses", "llama.cpp"), ("chat", "openai")])
def test_one_that_is_forced_and_not_to_be_had_is_refused(to: DialectName, profile: str) -> None:
    with pytest.raises(BadRequest) as refused:
        asked(to, profile, tools=[FUNCTION, SEARCH], tool_choice={"type": "web_search"})

    assert refused.value.param == "tool_choice"
