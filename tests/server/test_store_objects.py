"""Conversations and stored chat completions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.server.harness import PATH, adapter, play, upstream
from tests.server.scripted import (
    SSE,
    Close,
    Script,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    json_reply,
    response,
    responses_stream,
)
from tests.validator import load, needs_validator

CONVERSATIONS = "/v1/conversations"
PREVIOUS = "previous_response_id"


@pytest.fixture
def store(tmp_path: Path) -> dict[str, Any]:
    return {"url": f"sqlite:///{tmp_path}/store.db"}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def texts(page: dict[str, Any]) -> list[str]:
    return [entry["content"][0]["text"] for entry in page["data"]]


@pytest.mark.parametrize("dialect", ["chat", "openai"])
@pytest.mark.parametrize("stream", [False, True])
def test_turns_in_a_conversation(stream: bool, dialect: str, store: dict[str, Any]) -> None:
    """One of ours is kept by us, also over an upstream that could keep one itself."""

    async def scenario() -> None:
        if dialect == "chat":
            reply, section = chat_stream("Hello") if stream else [json_reply(chat_reply())], {}
        else:
            reply, section = responses_stream() if stream else [json_reply(response())], {"profile": "openai"}
        kind = "chat" if dialect == "chat" else "responses"
        async with Upstream(reply) as up, adapter(upstream(up.url, kind, **section), store=store) as client:
            made = (await client.post(CONVERSATIONS, {"items": [user("one")], "metadata": {"a": "b"}})).json
            path = f"{CONVERSATIONS}/{made['id']}"
            for conversation in (made["id"], {"id": made["id"]}):
                answer = await client.ask("responses", input="Hi", conversation=conversation, stream=stream)
                shown = answer.events[-1]["response"] if stream else answer.json
                assert shown["conversation"] == {"id": made["id"]}
                assert shown["store"] is True
                assert shown == (await client.get(f"/v1/responses/{shown['id']}")).json
            assert up.seen[-1].json.get("store") is (None if kind == "chat" else False)
            sent = up.seen[-1].json["messages" if kind == "chat" else "input"]
            assert [item["role"] for item in sent] == ["user", "user", "assistant", "user"]
            listed = (await client.get(f"{path}/items?order=asc")).json
            assert texts(listed)[:3] == ["one", "Hi", "Hello"]
            assert all(entry["id"] and entry["status"] == "completed" for entry in listed["data"])
            unknown = await client.ask("responses", conversation="conv_nobody") if kind == "chat" else None
            assert unknown is None or (unknown.status, unknown.json["error"]["param"]) == (404, "conversation")
            unstored = await client.ask("responses", conversation=made["id"], store=False)
            assert (unstored.status, unstored.json["error"]["param"]) == (400, "store")

    play(scenario)


def test_what_a_conversation_is_given_by_reference_is_in_it_whole(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            known = (await client.ask("responses")).json["output"][0]["id"]
            for path in (CONVERSATIONS, f"{CONVERSATIONS}/{(await client.post(CONVERSATIONS, {})).json['id']}/items"):
                unknown = await client.post(
                    path, {"items": [user("a"), {"type": "item_reference", "id": "msg_nobody"}]}
                )
                assert (unknown.status, unknown.json["error"]["param"]) == (404, "items[1]")
            made = (await client.post(CONVERSATIONS, {"items": [{"id": known}]})).json["id"]
            assert texts((await client.get(f"{CONVERSATIONS}/{made}/items")).json) == ["Hello"]
            assert (await client.ask("responses", conversation=made)).status == 200
            assert [m["content"] for m in up.seen[-1].json["messages"]] == ["Hello", "Hi"]
            uncounted = await client.post("/v1/responses/input_tokens", {"conversation": made})
            assert (uncounted.status, uncounted.json["error"]["param"]) == (400, "model")

    play(scenario)


PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}


def test_pictures_are_listed_with_the_detail_that_they_have_by_default(store: dict[str, Any]) -> None:
    shell = {"type": "shell_call_output", "call_id": "b", "output": [{"stdout": "", "stderr": "", "outcome": None}]}
    given = [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, PICTURE, {**PICTURE, "detail": "low"}]},
        {"type": "function_call_output", "call_id": "a", "output": [PICTURE]},
        shell,
    ]

    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            made = (await client.post(CONVERSATIONS, {"items": given})).json["id"]
            said, output, ran = (await client.get(f"{CONVERSATIONS}/{made}/items?order=asc")).json["data"]

        assert [part.get("detail") for part in said["content"]] == [None, "auto", "low"]
        assert [part["detail"] for part in output["output"]] == ["auto"]
        assert ran["output"] == shell["output"]

    play(scenario)


@needs_validator
def test_what_clients_may_leave_out_of_items_is_listed(store: dict[str, Any]) -> None:
    said = {"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
    given = [
        {"type": "shell_call", "call_id": "a", "action": {"commands": ["ls"], "timeout_ms": 5}},
        {"type": "shell_call_output", "call_id": "a", "output": [said]},
        {"type": "shell_call", "call_id": "b", "action": {"commands": ["ls"]}, "environment": {"type": "local"}},
        {"type": "shell_call_output", "call_id": "b", "output": [said], "max_output_length": 9},
        {
            "type": "computer_call_output",
            "call_id": "c",
            "output": {"type": "computer_screenshot", "file_id": "file-1"},
        },
        {"type": "tool_search_call", "arguments": {}},
        {"type": "tool_search_output", "call_id": "d", "tools": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is a."}]},
    ]
    official = load()
    assert official is not None

    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            made = (await client.post(CONVERSATIONS, {"items": given})).json["id"]
            listed = (await client.get(f"{CONVERSATIONS}/{made}/items?order=asc")).json

        assert official.errors(official.check(listed, "conversation.items")) == []
        *shells, _, searching, found, said_last = listed["data"]
        assert [item.get("environment") for item in shells] == [None, None, {"type": "local"}, None]
        assert [item["action"].get("timeout_ms") for item in shells[::2]] == [5, None]
        assert shells[3]["max_output_length"] == 9
        assert [item["execution"] for item in (searching, found)] == ["server", "client"]
        assert said_last["content"] == [{"type": "output_text", "text": "It is a.", "annotations": [], "logprobs": []}]

    play(scenario)


def test_the_life_of_a_conversation(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            made = (await client.post(CONVERSATIONS, {})).json
            assert (made["object"], made["metadata"]) == ("conversation", {})
            path = f"{CONVERSATIONS}/{made['id']}"
            assert (await client.get(path)).json == made
            changed = (await client.post(path, {"metadata": {"k": "v"}})).json
            assert changed == made | {"metadata": {"k": "v"}}
            assert (await client.post(path, {})).json["error"]["param"] == "metadata"
            assert (await client.post(path, {"metadata": {"k": 1}})).status == 400

            added = (await client.post(f"{path}/items", {"items": [user(str(n)) for n in range(20)]})).json
            assert texts(added) == [str(n) for n in range(20)]
            for wrong in ({"items": [user("x")] * 21}, {"items": "x"}, {}, {"items": [{"role": "robot"}]}):
                assert (await client.post(f"{path}/items", wrong)).status == 400
            page = (await client.get(f"{path}/items?limit=2")).json
            assert (texts(page), page["has_more"]) == (["19", "18"], True)
            assert texts((await client.get(f"{path}/items?limit=1&after={page['last_id']}")).json) == ["17"]
            item = f"{path}/items/{page['first_id']}"
            assert (await client.get(item)).json == page["data"][0]
            assert (await client.request("DELETE", item)).json == changed
            assert (await client.get(item)).status == 404
            assert (await client.request("DELETE", item)).status == 404

            gone = (await client.request("DELETE", path)).json
            assert gone == {"id": made["id"], "object": "conversation.deleted", "deleted": True}
            for method, below in (("GET", ""), ("DELETE", ""), ("GET", "/items"), ("GET", "/items/msg_1")):
                assert (await client.request(method, path + below)).status == 404
            assert (await client.post(f"{path}/items", {"items": [user("x")]})).status == 404

    play(scenario)


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_life_of_a_completion(stream: bool, dialect: str, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        if dialect == "chat":
            reply = chat_stream("Hello") if stream else [json_reply(chat_reply())]
        else:
            reply = responses_stream() if stream else [json_reply(response())]
        section = {"aliases": {"nickname": "m"}}
        async with Upstream(reply) as up, adapter(upstream(up.url, dialect, **section), store=store) as client:
            await client.ask("chat", stream=stream)
            asked = [user("Hi"), {"role": "user", "content": [{"type": "text", "text": "there"}]}]
            answer = await client.ask(
                "chat", stream=stream, store=True, messages=asked, metadata={"k": "v"}, model="nickname"
            )
            assert answer.status == 200
            assert "x-adapter-losses" not in answer.headers
            assert up.seen[-1].json.get("store") in (None, False)
            known = answer.events[0]["id"] if stream else answer.json["id"]
            path = f"{PATH['chat']}/{known}"
            kept = (await client.get(path)).json
            assert kept["choices"][0]["message"]["content"] == "Hello"
            assert kept["metadata"] == {"k": "v"}
            assert stream or {**answer.json, "metadata": {"k": "v"}} == kept
            for query, count in (
                ("", 1),
                ("?model=m", 1),
                ("?model=nickname", 1),
                ("?model=x", 0),
                ("?metadata[k]=v", 1),
                ("?metadata[k]=x", 0),
            ):
                assert len((await client.get(PATH["chat"] + query)).json["data"]) == count
            messages = (await client.get(f"{path}/messages")).json["data"]
            assert [entry["role"] for entry in messages] == ["user", "user"]
            assert messages[0]["content"] == "Hi"
            assert messages[1]["content_parts"] == [{"type": "text", "text": "there"}]
            changed = (await client.post(path, {"metadata": {"n": "1"}})).json
            assert changed == kept | {"metadata": {"n": "1"}}
            assert (await client.request("DELETE", path)).json == {
                "id": known,
                "object": "chat.completion.deleted",
                "deleted": True,
            }
            for method, below in (("GET", ""), ("DELETE", ""), ("GET", "/messages")):
                assert (await client.request(method, path + below)).status == 404
            wrong = await client.ask("chat", store=True, metadata={"k": 1})
            assert wrong.status == 400

    play(scenario)


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_completions_of_a_server_with_one_id_are_kept_beside_each_other(
    stream: bool, dialect: str, store: dict[str, Any]
) -> None:
    async def scenario() -> None:
        if dialect == "chat":
            reply = chat_stream("Hello") if stream else [json_reply(chat_reply())]
        else:
            reply = responses_stream() if stream else [json_reply(response())]
        async with Upstream(reply) as up, adapter(upstream(up.url, dialect), store=store) as client:
            answers = [await client.ask("chat", stream=stream, store=True) for _ in range(2)]
            kept = (await client.get(PATH["chat"])).json["data"]

        assert [one["id"] for one in kept] == [
            answer.events[0]["id"] if stream else answer.json["id"] for answer in answers
        ]

    play(scenario)


def test_choices_are_stored_together(store: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            answer = (await client.ask("chat", store=True, n=3)).json
            assert len(answer["choices"]) == 3
            kept = (await client.get(f"{PATH['chat']}/{answer['id']}")).json
            assert kept["choices"] == answer["choices"]

    play(scenario)
    assert '"stored":"kept"' in capfd.readouterr().out


@pytest.mark.parametrize("compact", ["chat", "none"])
@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_a_chat_shaped_compact_call_is_kept_as_any_completion(
    dialect: str, long: bool, compact: str, store: dict[str, Any]
) -> None:
    async def scenario() -> None:
        good = chat_stream if dialect == "chat" else responses_stream
        asked = [user("Hi"), {"role": "assistant", "content": "x" * (40_000 if long else 4)}, user("and now?")]
        scripts = [good("the summary")] * long + [good("Hello")]
        async with (
            Upstream(*scripts) as up,
            adapter(upstream(up.url, dialect, compact=compact), store=store) as client,
        ):
            body = {"model": "m", "messages": asked, "stream": True, "store": True, "metadata": {"k": "v"}}
            answer = await client.post("/v1/responses/compact", body)
            assert answer.status == 200, answer.body
            (kept,) = (await client.get(PATH["chat"])).json["data"]
            assert (kept["id"], kept["metadata"]) == (answer.events[0]["id"], {"k": "v"})
            assert kept["choices"][0]["message"]["content"] == "Hello"
            told = (await client.get(f"{PATH['chat']}/{kept['id']}/messages")).json["data"]
            assert [message["content"] for message in told] == [message["content"] for message in asked]

    play(scenario)


@pytest.mark.parametrize("n", [1, 2])
def test_a_completion_that_broke_off_is_not_kept(n: int, store: dict[str, Any]) -> None:
    async def scenario() -> None:
        broken: Script = [SSE, event(chunk({"content": "Hel"})), Close()]
        async with (
            Upstream(chat_stream("Hello"), broken) as up,
            adapter(upstream(up.url, "chat"), store=store) as client,
        ):
            for _ in range(3 - n):
                told = await client.ask("chat", stream=True, store=True, n=n)
            assert "error" in told.events[-1]
            kept = (await client.get(PATH["chat"])).json["data"]
            assert [one["choices"][0]["message"]["content"] for one in kept] == ["Hello"] * (2 - n)

    play(scenario)


def test_what_is_said_of_stored_objects_in_a_wrong_form_is_told_where(store: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Upstream(chat_stream("Hello")) as up, adapter(upstream(up.url, "chat"), store=store) as client:
            known = (await client.ask("responses", stream=True)).events[-1]["response"]["id"]
            await client.ask("chat", stream=True, store=True)
            completion = (await client.get(PATH["chat"])).json["data"][0]["id"]
            for answer, param in (
                (await client.post(CONVERSATIONS, {"metadata": ["a"]}), "metadata"),
                (await client.post(f"{PATH['chat']}/{completion}", {}), "metadata"),
                (await client.get(f"/v1/responses/{known}?starting_after=1"), "starting_after"),
                *[
                    (await client.get(f"/v1/responses/{known}/input_items?limit={limit}"), "limit")
                    for limit in ("0", "101", "-1", "%C2%B2", "1" * 5000)
                ],
                (await client.get(f"/v1/responses/{known}/input_items?order=up"), "order"),
                (await client.ask("responses", conversation=7), "conversation"),
                (await client.ask("responses", previous_response_id=7), "previous_response_id"),
                (await client.ask("responses", input=7, store=False), "input"),
                (await client.ask("responses", input=[7]), "input[0]"),
                (await client.post("/v1/responses/input_tokens", {"model": "m", PREVIOUS: 7}), PREVIOUS),
                (await client.post("/v1/responses/input_tokens", {PREVIOUS: 7}), PREVIOUS),
            ):
                assert (answer.status, answer.json["error"]["param"]) == (400, param)
            more = {"input": "more"}
            counts = [
                (await client.post("/v1/responses/input_tokens", more | named)).json["input_tokens"]
                for named in ({}, {PREVIOUS: known}, {PREVIOUS: known, "model": "m"})
            ]
            assert counts[0] < counts[1] == counts[2]

    play(scenario)
