"""What a Chat server demands of a request that goes on in its own API: met, where the request does not meet it by itself."""

from __future__ import annotations

from typing import Any, Final

import pytest

from adapter.hub.extra_content import UNSIGNED
from adapter.hub.names import fitted_call_id
from adapter.upstream.profiles import profile
from tests.dialects.chat.writing import bot, chat_call, tool
from tests.server.harness import PATH, adapter, play, upstream
from tests.server.scripted import Script, Upstream, chat_reply, chat_stream, json_reply

USER: Final = {"role": "user", "content": "Hi"}
DEVELOPER: Final = {"role": "developer", "content": "Be brief."}
SYSTEM: Final = {"role": "system", "content": "Be brief."}
ROUND: Final = [USER, bot(None, chat_call("call_1"), chat_call("call_2")), tool("call_2"), tool("call_1")]
ONE, TWO = (fitted_call_id(call_id, profile("mistral").call_id) for call_id in ("call_1", "call_2"))
SIGNATURE: Final = {"google": {"thought_signature": "s1"}}

CASES: Final[dict[str, tuple[str, dict[str, Any], dict[str, Any]]]] = {
    "a thought": (
        "deepseek",
        {"messages": [*ROUND, bot("yes"), USER]},
        {
            "messages": [
                USER,
                ROUND[1] | {"reasoning_content": " "},
                *ROUND[2:],
                bot("yes", reasoning_content=" "),
                USER,
            ]
        },
    ),
    "a thought beside calls": (
        "moonshot",
        {"messages": [*ROUND, bot("yes"), USER]},
        {"messages": [USER, ROUND[1] | {"reasoning_content": " "}, *ROUND[2:], bot("yes"), USER]},
    ),
    "a signature": (
        "gemini",
        {"messages": ROUND},
        {
            "messages": [
                USER,
                bot(None, chat_call("call_1") | {"extra_content": UNSIGNED}, chat_call("call_2")),
                *ROUND[2:],
            ]
        },
    ),
    "ids of nine letters": (
        "mistral",
        {"messages": ROUND},
        {"messages": [USER, bot(None, chat_call(ONE), chat_call(TWO)), tool(TWO), tool(ONE)]},
    ),
    "a role that it knows": (
        "mistral",
        {"messages": [DEVELOPER, USER, DEVELOPER, USER]},
        {"messages": [SYSTEM, USER, SYSTEM, USER]},
    ),
    "the name of the limit": (
        "ollama",
        {"messages": [USER], "max_completion_tokens": 9, "max_tokens": 7},
        {"messages": [USER], "max_tokens": 9},
    ),
    "nothing that the client said by itself": (
        "deepseek",
        {
            "messages": [SYSTEM, USER, ROUND[1] | {"reasoning_content": "hm", "vendor": 1}, *ROUND[2:]],
            "max_tokens": 7,
            "n": 2,
        },
        {},
    ),
    "no signature beside another": (
        "gemini",
        {
            "messages": [
                DEVELOPER,
                USER,
                bot(None, chat_call("call_1") | {"extra_content": SIGNATURE}, chat_call("call_2")),
                *ROUND[2:],
            ]
        },
        {},
    ),
    "nothing of a careful guess": (
        "generic",
        {"messages": [DEVELOPER, *ROUND, DEVELOPER], "max_completion_tokens": 9, "max_tokens": 7},
        {},
    ),
    "nothing of OpenAI's own words": (
        "openai",
        {"messages": [DEVELOPER, *ROUND, SYSTEM], "max_completion_tokens": 9, "max_tokens": 7},
        {},
    ),
}
"""What is demanded -> the profile, what the client says, and what the server gets otherwise."""


def good(stream: bool) -> Script:
    return chat_stream("Hello") if stream else [json_reply(chat_reply())]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_server_gets_what_it_demands_and_all_else_as_it_came(name: str, stream: bool) -> None:
    """And nothing is lost: nothing has to be refused for it."""

    kind, said, edits = CASES[name]

    async def scenario() -> None:
        section, asked = {"profile": kind}, {"model": "m", **said, "stream": stream, "brand_new": [1.5, None]}
        async with (
            Upstream(good(stream)) as up,
            adapter(upstream(up.url, "chat", **section), losses="reject") as client,
        ):
            answer = await client.post(PATH["chat"], asked)
            assert answer.status == 200, answer.body
            assert "x-adapter-losses" not in answer.headers
            limits = ("max_tokens", "max_completion_tokens") if "max_tokens" in edits else ()
            kept = {key: value for key, value in asked.items() if key not in limits}
            assert [seen.json for seen in up.seen] == [kept | edits]

    play(scenario)


@pytest.mark.parametrize("n", [None, 3])
def test_several_choices_are_one_call_of_what_is_demanded(n: int | None) -> None:
    async def scenario() -> None:
        async with Upstream(good(False)) as up, adapter(upstream(up.url, "chat", profile="moonshot")) as client:
            answer = await client.ask("chat", messages=[DEVELOPER, *ROUND], n=n)
            assert answer.status == 200, answer.body
            (sent,) = [seen.json for seen in up.seen]
            assert sent["n"] == n
            assert sent["messages"][:3] == [SYSTEM, USER, ROUND[1] | {"reasoning_content": " "}]

    play(scenario)


def test_the_operator_says_what_is_demanded() -> None:
    async def scenario() -> None:
        section = {"capabilities": {"role_demanded": True, "limit_demanded": True}}
        async with Upstream(good(False)) as up, adapter(upstream(up.url, "chat", **section)) as client:
            await client.ask("chat", messages=[DEVELOPER, USER], max_completion_tokens=9)
            assert up.seen[0].json == {"model": "m", "messages": [SYSTEM, USER], "max_tokens": 9}

    play(scenario)


def test_what_one_server_demands_is_not_said_to_the_next() -> None:
    async def scenario() -> None:
        sick = json_reply({"error": {"message": "The engine is overloaded", "type": "server_error"}}, 503)
        asked = {"model": "m", "messages": [DEVELOPER, *ROUND], "max_completion_tokens": 9}
        async with (
            Upstream([sick]) as one,
            Upstream(good(False)) as two,
            adapter(
                upstream(one.url, "chat", "one", profile="mistral", api_key="k"),
                upstream(two.url, "chat", "two", api_key="k"),
            ) as client,
        ):
            answer = await client.post(PATH["chat"], asked)
            assert answer.status == 200, answer.body
            assert one.seen[0].json["messages"][2]["tool_calls"][0]["id"] == ONE
            assert two.seen[0].json == asked

    play(scenario)
