"""What is checked of a request that goes on as it came, and what is changed in it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.conform import strategies
from adapter.errors import BadRequest, InvalidType, InvalidValue, MissingParameter, UnsupportedParameter
from adapter.hub.request import DialectName
from adapter.server.calls.raw_request import _check_roles, checked, edited
from adapter.upstream.router import Target, Upstream
from tests.configuring import loaded
from tests.server.harness import ASK


def target(dialect: DialectName, profile: str = "openai") -> Target:
    section = {"name": "up", "base_url": "http://x/v1", "dialect": dialect, "profile": profile}
    return Target(Upstream.of(loaded(upstreams=[section]).upstreams[0]), "theirs")


VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "nothing": (None,),
    "a truth": (True, False),
    "a whole number": (3, -1, 2.0),
    "a fraction": (0.5,),
    "text": ("x", ""),
    "an object": ({}, {"a": 1}),
    "an object with an id": ({"id": "x"},),
    "an object with a wrong id": ({"id": 1},),
    "an empty list": ([],),
    "objects": ([{"role": "user"}],),
    "texts": (["x"],),
    "a list of other things": ([{"role": "user"}, 1], [None], [["x"]], ["x", {}]),
}
OBJECTS: Final = {"an object", "an object with an id", "an object with a wrong id"}
LISTS: Final = {"an empty list", "objects", "texts", "a list of other things"}
TAKEN: Final[dict[str, set[str]]] = {
    "a boolean": {"a truth"},
    "an integer": {"a whole number"},
    "a number": {"a whole number", "a fraction"},
    "a string": {"text"},
    "an object": OBJECTS,
    "a list of objects": {"an empty list", "objects"},
    "a string or an object": {"text"} | OBJECTS,
    "a string or a list of strings": {"text", "an empty list", "texts"},
    "a list": LISTS,
    "an id or an object with an id": {"text", "an object with an id"},
    "anything": set(VALUES),
}
"""What a field of that kind may be, besides null."""
BOTH: Final = {
    "model": "a string",
    "stream": "a boolean",
    "stream_options": "an object",
    "temperature": "a number",
    "top_p": "a number",
    "top_logprobs": "an integer",
    "presence_penalty": "a number",
    "frequency_penalty": "a number",
    "parallel_tool_calls": "a boolean",
    "tools": "a list of objects",
    "tool_choice": "a string or an object",
    "metadata": "an object",
    "store": "a boolean",
    "service_tier": "a string",
    "user": "a string",
    "safety_identifier": "a string",
    "prompt_cache_key": "a string",
    "prompt_cache_options": "an object",
    "vendor": "anything",
}
FIELDS: Final[dict[DialectName, dict[str, str]]] = {
    "chat": BOTH
    | {
        "n": "an integer",
        "stop": "a string or a list of strings",
        "seed": "an integer",
        "logprobs": "a boolean",
        "logit_bias": "an object",
        "max_tokens": "an integer",
        "max_completion_tokens": "an integer",
        "response_format": "an object",
        "reasoning_effort": "a string",
        "verbosity": "a string",
        "functions": "a list of objects",
        "input": "anything",
    },
    "responses": BOTH
    | {
        "instructions": "a string",
        "max_output_tokens": "an integer",
        "max_tool_calls": "an integer",
        "include": "a list",
        "reasoning": "an object",
        "text": "an object",
        "previous_response_id": "a string",
        "conversation": "an id or an object with an id",
        "background": "a boolean",
        "truncation": "a string",
        "context_management": "a list of objects",
        "messages": "anything",
    },
}


@pytest.mark.parametrize(("dialect", "field"), [(dialect, field) for dialect in FIELDS for field in FIELDS[dialect]])
def test_a_field_is_what_any_server_of_the_dialect_takes(dialect: DialectName, field: str) -> None:
    """And the client is told what it is to be."""

    kind, at = FIELDS[dialect][field], target(dialect)
    for name, values in VALUES.items():
        for value in values:
            body = ASK[dialect] | {field: value}
            if name == "nothing" or name in TAKEN[kind]:
                checked(body, dialect, at)
                continue
            with pytest.raises(InvalidType) as refused:
                checked(body, dialect, at)
            assert (refused.value.message, refused.value.param) == (f"{field} must be {kind}.", field)


TURN: Final = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("dialect", "body", "error"),
    [
        ("chat", {"messages": [TURN]}, None),
        ("chat", {}, MissingParameter("messages is required.", param="messages")),
        (
            "chat",
            {"messages": None, "prompt": {"id": "p"}},
            MissingParameter("messages is required.", param="messages"),
        ),
        ("chat", {"messages": []}, InvalidValue("messages must not be empty.", param="messages")),
        ("chat", {"messages": "hi"}, InvalidType("messages must be a list of objects.", param="messages")),
        ("chat", {"messages": [TURN, 1]}, InvalidType("messages must be a list of objects.", param="messages")),
        ("responses", {"input": "hi"}, None),
        ("responses", {"input": [TURN]}, None),
        ("responses", {}, MissingParameter("input is required.", param="input")),
        ("responses", {"input": ""}, InvalidValue("input must not be empty.", param="input")),
        ("responses", {"input": []}, InvalidValue("input must not be empty.", param="input")),
        ("responses", {"input": {}}, InvalidType("input must be a string or a list of objects.", param="input")),
        ("responses", {"input": ["hi"]}, InvalidType("input must be a string or a list of objects.", param="input")),
        ("responses", {"previous_response_id": "resp_1"}, None),
        ("responses", {"conversation": "conv_1", "input": []}, None),
        ("responses", {"prompt": {"id": "p"}}, None),
        ("responses", {"previous_response_id": ""}, MissingParameter("input is required.", param="input")),
    ],
)
def test_there_is_something_to_be_answered(
    dialect: DialectName, body: dict[str, Any], error: BadRequest | None
) -> None:
    if error is None:
        checked(body, dialect, target(dialect))
        return
    with pytest.raises(type(error)) as refused:
        checked(body, dialect, target(dialect))
    assert (refused.value.message, refused.value.param) == (error.message, error.param)


@pytest.mark.parametrize(
    ("dialect", "roles", "others"),
    [
        ("chat", "system developer user assistant tool function", ["critic", None, 1]),
        ("responses", "system developer user assistant", ["critic", "tool", "function", 1]),
    ],
)
def test_the_roles_are_those_of_the_dialect(dialect: DialectName, roles: str, others: list[Any]) -> None:
    field = {"chat": "messages", "responses": "input"}[dialect]
    good = [{"role": role} for role in roles.split()]
    checked({field: good}, dialect, target(dialect))

    for other in others:
        with pytest.raises(InvalidValue) as refused:
            checked({field: [*good, {"role": other}]}, dialect, target(dialect))
        assert refused.value.param == f"{field}[{len(good)}].role"
        assert refused.value.message == f"A role must be one of {', '.join(sorted(roles.split()))}."


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"input": [TURN, {"type": "item_reference", "id": "msg_1"}]}, "input[1]"),
    ],
)
def test_what_needs_stored_state_is_for_a_server_that_keeps_some(body: dict[str, Any], refusal: str) -> None:
    checked(ASK["responses"] | body, "responses", target("responses"))
    with pytest.raises((UnsupportedParameter, InvalidValue)) as refused:
        checked(ASK["responses"] | body, "responses", target("responses", "generic"))
    assert refused.value.param == refusal


def test_what_is_off_needs_no_stored_state() -> None:
    body = {"conversation": None, "background": False, "input": [TURN]}
    checked(body, "responses", target("responses", "generic"))
    checked(ASK["chat"] | {"conversation": "x", "background": True}, "chat", target("chat", "generic"))


@pytest.mark.parametrize(
    ("dialect", "profile", "more"),
    [
        ("chat", "openai", {}),
        ("chat", "generic", {}),
        ("responses", "openai", {}),
        ("responses", "generic", {"store": False}),
    ],
)
def test_the_server_gets_its_own_model_name_and_stores_only_where_it_keeps_state(
    dialect: DialectName, profile: str, more: dict[str, Any]
) -> None:
    body = {"vendor": [1], **ASK[dialect], "store": True}
    before = dict(body)

    sent = edited(body, dialect, target(dialect, profile), metered=False)
    assert list(sent.items()) == list((before | {"model": "theirs"} | more).items())
    assert body == before


@given(
    body=strategies.chat_requests(),
    more=st.fixed_dictionaries(
        {},
        optional={
            "max_tokens": st.integers(1, 9),
            "stream_options": st.just({"include_usage": False}),
            "vendor": strategies.json_values,
        },
    ),
    role=st.sampled_from(["system", "developer"]),
    profile=st.sampled_from(["generic", "openai"]),
    metered=st.booleans(),
)
def test_a_server_that_demands_nothing_gets_each_value_as_it_was_sent(
    body: dict[str, Any], more: dict[str, Any], role: str, profile: str, metered: bool
) -> None:
    """But for its own model name, and the usage that is to be known."""

    late = {"role": role, "content": "Be brief."}
    body = body | more | {"messages": [late, *body["messages"], late]}
    before = deepcopy(body)

    sent = edited(body, "chat", target("chat", profile), metered=metered)
    asks = {"stream_options": {"include_usage": True}} if metered and body.get("stream") else {}
    assert sent == before | {"model": "theirs"} | asks
    assert sent["messages"] is body["messages"]
    assert body == before


@pytest.mark.parametrize("metered", [False, True])
def test_what_a_chat_server_demands_is_met_in_what_it_is_sent_only(metered: bool) -> None:
    turns = [{"role": "developer", "content": "Be brief."}, TURN]
    body = {"model": "m", "messages": turns, "max_completion_tokens": 7, "stream": True}
    before = deepcopy(body)

    asks = {"stream_options": {"include_usage": True}} if metered else {}
    assert (
        edited(body, "chat", target("chat", "deepseek"), metered=metered)
        == {
            "model": "theirs",
            "messages": [turns[0] | {"role": "system"}, TURN],
            "max_tokens": 7,
            "stream": True,
        }
        | asks
    )
    assert body == before


def test_demands_are_those_of_chat_servers() -> None:
    said = {"model": "m", "input": [{"role": "developer", "content": "Be brief."}], "max_output_tokens": 7}
    sent = edited(said, "responses", target("responses", "deepseek"), metered=False)
    assert sent == said | {"model": "theirs", "store": False}


# ------------------------------------------------------------------------------------------------------------- roles

SPEAKERS: Final = frozenset({"user", "assistant", "tool"})

turns = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "x", "", None, 1, True, [], {}]),
        "type": st.sampled_from(["message", "function_call", None, 2]),
    },
)


def _is_wrong(turn: dict[str, Any], *, required: bool) -> bool:
    role = turn.get("role")
    if role is None:
        return required
    return not isinstance(role, str) or (role not in SPEAKERS and turn.get("type", "message") == "message")


@settings(max_examples=300, deadline=None)
@given(st.lists(turns, max_size=4))
def test_the_first_wrong_role_is_refused_with_its_place(given_turns: list[dict[str, Any]]) -> None:
    """Looking at all roles at once refuses what a look at each does."""

    for required in (True, False):
        wrong = [i for i, turn in enumerate(given_turns) if _is_wrong(turn, required=required)]
        try:
            _check_roles(given_turns, "input", SPEAKERS, required=required)
        except InvalidValue as refused:
            assert refused.param == f"input[{wrong[0]}].role"
        else:
            assert not wrong
