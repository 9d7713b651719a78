"""Laws of requests, over the public face."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapter import translate
from adapter.conform import laws, strategies
from adapter.conform.laws import Name
from adapter.conform.speaking import Spoken, chat_completion
from adapter.conform.strict_chat import problems
from adapter.errors import AdapterError
from adapter.upstream.profiles import GENERIC, Profile, profile, profile_names
from tests.corpus import cases
from tests.laws.test_streams import WAYS, mutated

ways = pytest.mark.parametrize(("source", "target"), WAYS)
profiles = st.sampled_from(profile_names()).map(profile)


@ways
@given(body=strategies.json_values | strategies.wrong(strategies.REQUEST_KEYS), kind=profiles)
def test_arbitrary_requests_raise_only_our_errors(source: Name, target: Name, body: Any, kind: Profile) -> None:
    """Any JSON as a client's body."""

    assert laws.only_these_errors(lambda: translate.request(body, source, target, profile=kind), AdapterError) == []


@ways
@given(kind=profiles, data=st.data())
def test_a_request_with_one_wrong_place_raises_only_our_errors(
    source: Name, target: Name, kind: Profile, data: st.DataObject
) -> None:
    """Every request of the corpus with one place of another type."""

    case = data.draw(st.sampled_from([case for case in cases("requests") if case.dialect == source]))
    body = data.draw(st.sampled_from(list(mutated(case.json))))
    assert laws.only_these_errors(lambda: translate.request(body, source, target, profile=kind), AdapterError) == []


@given(body=strategies.chat_requests() | strategies.responses_requests(), kind=profiles)
def test_every_chat_request_that_is_written_is_taken_by_the_strictest_server(
    body: dict[str, Any], kind: Profile
) -> None:
    """Across dialects and within one."""

    source: Name = "chat" if "messages" in body else "responses"
    assert problems(translate.request(body, source, "chat", profile=kind).value, kind) == []


@given(body=strategies.responses_requests(orphans=True))
def test_a_history_with_orphans_is_repaired_or_refused(body: dict[str, Any]) -> None:
    """Never sent on as it is."""

    try:
        asked = translate.request(body, "responses", "chat")
    except AdapterError as refused:
        assert refused.http_status == 400
        return
    assert problems(asked.value) == []


@ways
@given(body=strategies.chat_requests() | strategies.responses_requests())
def test_translation_is_deterministic_and_leaves_its_input_alone(
    source: Name, target: Name, body: dict[str, Any]
) -> None:
    """Same input, same bytes: upstream prompt caches hit."""

    assume(("messages" in body) == (source == "chat"))
    before = repr(body)
    first = translate.request(body, source, target)
    second = translate.request(body, source, target)
    assert repr(first.value) == repr(second.value)
    assert repr(body) == before


def plain(body: dict[str, Any]) -> dict[str, Any]:
    """A Chat request without the differences that mean nothing."""
    kept = {key: value for key, value in body.items() if key not in ("messages", "tools", "store", "stream_options")}
    kept["stream"] = body.get("stream") is True
    kept["messages"] = []
    for message in body["messages"]:
        content = message.get("content") or ""
        if isinstance(content, list):
            content = [
                part | {"image_url": {"url": part["image_url"]["url"]}} if "image_url" in part else part
                for part in content
            ]
        kept["messages"].append({**message, "content": content})
    kept["tools"] = [{**tool, "function": {"strict": False, **tool["function"]}} for tool in body.get("tools", ())]
    return kept


@given(body=strategies.chat_requests())
def test_a_chat_request_survives_the_way_through_responses(body: dict[str, Any]) -> None:
    """read(write(x)) is x: to a Responses upstream, and from there as a client's request to a Chat server."""

    there = translate.request(body, "chat", "responses", profile="openai")
    back = translate.request(there.value, "responses", "chat", profile=AS_IS)
    if there.losses or back.losses:
        declared = {loss.path for loss in [*there.losses, *back.losses]}
        assert declared <= {"user"}, declared
        body = {key: value for key, value in body.items() if key not in declared}
    assert plain(back.value) == plain(body)


AS_IS = replace(profile("openai"), instructions_role="system")
"""A server that takes everything and keeps system messages what they are."""


@given(spoken=strategies.spoken(chat=True))
def test_an_answer_replayed_as_history_gives_back_the_upstreams_message(spoken: Spoken) -> None:
    """Through a Responses client and back to the Chat upstream that said it."""

    reply = chat_completion(spoken)
    asked = {"model": "m", "input": [{"type": "message", "role": "user", "content": "hi"}]}
    told = translate.reply(reply, "chat", "responses").value
    message = reply["choices"][0]["message"]
    assert laws.replay_gives_back_the_message(translate, message, told, asked) == []


@given(spoken=strategies.spoken(chat=True))
def test_reasoning_is_replayed_where_the_profile_says_so(spoken: Spoken) -> None:
    """`reasoning_replay = all`: the message comes back with what it thought."""

    reply = chat_completion(spoken)
    message = reply["choices"][0]["message"]
    assume("reasoning_content" in message)
    told = translate.reply(reply, "chat", "responses").value["output"]
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "x"}
        for item in told
        if item["type"] == "function_call"
    ]
    user = {"type": "message", "role": "user", "content": "hi"}
    body = {"model": "m", "input": [user, *told, *outputs, user]}
    sent = translate.request(body, "responses", "chat", profile=replace(GENERIC, reasoning_replay="all")).value
    assert [m.get("reasoning_content") for m in sent["messages"] if m["role"] == "assistant"] == [
        message["reasoning_content"]
    ]
