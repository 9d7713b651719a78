"""Hub requests for upstreams that speak Responses."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.dialects.chat import read_request as read_chat
from adapter.dialects.responses import read_request, write_request
from adapter.errors import BadRequest, UnsupportedParameter
from adapter.hub.losses import Action
from adapter.hub.request import Carry, Request, Written
from adapter.upstream.profiles import GENERIC, profile
from tests.validator import load, needs_validator

OPENAI = profile("openai")
USER = {"type": "message", "role": "user", "content": "hi"}
THOUGHT = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}


def chat(items: list[Any] | None = None, carry: Carry | None = None, stream: bool = False, **body: Any) -> Request:
    """A Chat client's request as its reader leaves it."""
    given = {"model": "m", "input": [USER] if items is None else items, "store": False, **body}
    return Request(given, dialect="chat", carry=carry or Carry(), stream=stream)


def lost(written: Written) -> list[tuple[str, Action]]:
    return [(loss.path, loss.action) for loss in written.losses]


def test_a_plain_chat_request_says_what_servers_guess_wrong() -> None:
    written = write_request(chat(), GENERIC)

    assert written.body == {"model": "m", "input": [USER], "store": False, "stream": False}
    assert written.losses == []


def test_only_a_server_with_memory_is_asked_to_store() -> None:
    assert write_request(chat(store=True), GENERIC).body["store"] is False
    assert write_request(chat(store=True), OPENAI).body["store"] is True
    assert write_request(read_request({"model": "m", "input": "hi"}), OPENAI).body["store"] is True
    assert write_request(read_request({"model": "m", "input": "hi"}), GENERIC).body["store"] is False


def test_a_small_limit_is_raised_and_reported() -> None:
    written = write_request(chat(max_output_tokens=5), GENERIC)

    assert written.body["max_output_tokens"] == 16
    assert lost(written) == [("max_output_tokens", Action.APPROXIMATED)]


def test_stop_is_emulated_and_n_left_to_the_server() -> None:
    written = write_request(chat(carry=Carry(stop=["END"], n=3)), GENERIC)

    assert written.exchange.stop == ("END",)
    assert lost(written) == [("stop", Action.EMULATED)]
    assert not {"stop", "n"} & written.body.keys()


def test_what_responses_cannot_say_is_reported() -> None:
    carry = Carry(logit_bias={"50": 10}, seed=0, prediction={"type": "content"}, presence_penalty=0.5)
    written = write_request(chat(carry=carry, top_k=3), GENERIC)

    assert lost(written) == [
        ("top_k", Action.DROPPED),
        ("logit_bias", Action.DROPPED),
        ("seed", Action.DROPPED),
        ("prediction", Action.DROPPED),
        ("presence_penalty", Action.DROPPED),
    ]
    assert written.body.keys() == {"model", "input", "store", "stream"}


def test_a_banned_token_cannot_be_left_out() -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        write_request(chat(carry=Carry(logit_bias={"50": -100})), GENERIC)

    assert refused.value.param == "logit_bias"


def test_a_responses_clients_penalties_go_on_as_they_came() -> None:
    """As on the raw lane, whatever the profile says: what the client's own API takes is for its server to judge."""
    penalties = {"presence_penalty": 0.5, "frequency_penalty": 0}
    made = write_request(read_request({"model": "m", "input": "hi", **penalties}), GENERIC)

    assert made.body.items() >= penalties.items()
    assert made.losses == []


def test_penalties_go_where_they_are_taken_and_defaults_are_no_loss() -> None:
    taking = profile("generic", {"responses_accepts": ["frequency_penalty"]})

    assert write_request(chat(carry=Carry(frequency_penalty=1.0)), taking).body["frequency_penalty"] == 1.0
    assert write_request(chat(carry=Carry(frequency_penalty=0)), GENERIC).losses == []


ASKED: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "metadata": {"a": "b"},
    "moderation": {"model": "m"},
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "service_tier": "flex",
    "user": "u",
    "logprobs": True,
    "top_logprobs": 2,
    "verbosity": "low",
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "parallel_tool_calls": False,
}


def test_what_the_server_refuses_is_left_out_and_told() -> None:
    """Volcengine, "json: unknown field", xAI, "Argument not supported: metadata"."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **ASKED}
    written = write_request(read_chat(body), profile("volcengine"))
    told = write_request(read_chat(body), GENERIC)

    assert written.body.keys() == {"model", "input", "temperature", "top_p", "text", "tools", "store", "stream"}
    assert written.body["text"] == {"format": {"type": "text"}}
    hints = {"prompt_cache_key", "prompt_cache_retention"}
    assert {path for path, _ in lost(written)} == ASKED.keys() - hints - {"temperature", "top_p", "tools"}
    assert told.losses == []
    sent = told.body | told.body["text"]
    assert all(name in sent for name in ASKED.keys() - {"logprobs"})
    assert sent["include"] == ["message.output_text.logprobs"]


def test_a_setting_that_says_nothing_is_left_out_without_a_word() -> None:
    silent = {"metadata": {}, "service_tier": "auto", "verbosity": "medium", "parallel_tool_calls": True}
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": ASKED["tools"], **silent}
    written = write_request(read_chat(body), profile("volcengine"))

    assert written.losses == []
    assert not silent.keys() & (written.body | written.body["text"]).keys()


def test_settings_of_tools_go_with_the_tools() -> None:
    written = write_request(chat(tools=[], tool_choice="auto", parallel_tool_calls=True), GENERIC)

    assert written.body.keys() == {"model", "input", "store", "stream"}


def test_reasoning_goes_back_only_to_servers_that_take_it() -> None:
    dropped = write_request(chat([THOUGHT, USER]), GENERIC)
    taken = write_request(chat([THOUGHT, USER]), profile("vllm"))

    assert dropped.body["input"] == [USER]
    assert lost(dropped) == [("messages", Action.DROPPED)]
    assert taken.body["input"][0] == {**THOUGHT, "id": taken.body["input"][0]["id"]}
    assert taken.body == write_request(chat([THOUGHT, USER]), profile("vllm")).body


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ({}, {"summary": "detailed"}),
        ({"reasoning": {"effort": "low"}}, {"effort": "low", "summary": "detailed"}),
        ({"reasoning": {"effort": "none"}}, {"effort": "none"}),
        ({"reasoning": {"summary": "concise"}}, {"summary": "concise"}),
    ],
)
def test_summaries_are_asked_for_where_the_upstream_gives_them_and_there_is_something_to_sum_up(
    said: dict[str, Any], sent: dict[str, Any]
) -> None:
    asked = chat(**said)
    written = write_request(asked, profile("openai", {"reasoning_summary": "detailed"}))

    assert written.body["reasoning"] == sent
    assert written.losses == []
    assert {name: asked.body[name] for name in said} == said


def test_a_responses_client_says_itself_whether_it_wants_a_summary() -> None:
    giving = profile("openai", {"reasoning_summary": "auto"})

    for said in ({}, {"reasoning": {"effort": "low"}}, {"reasoning": {"summary": "concise"}}):
        body = write_request(read_request({"model": "m", "input": "hi", **said}), giving).body
        assert {name: body[name] for name in body if name == "reasoning"} == said


def test_every_turn_has_a_thought_where_the_server_refuses_a_history_without() -> None:
    """DeepSeek, of all turns of an assistant where there are tools; it takes "" for none."""
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "x"}
    said = {"type": "message", "role": "assistant", "content": "ok"}
    given = [USER, said, call, output, THOUGHT, call, output, said, USER, call, output]
    written = write_request(chat(given), profile("deepseek"))

    sent: list[Any] = written.body["input"]
    thoughts = [item["content"][0]["text"] if item["type"] == "reasoning" else item["type"] for item in sent]
    spoken = ["message", "function_call", "function_call_output"]
    assert thoughts == [
        *("message", "\N{HORIZONTAL ELLIPSIS}", *spoken),
        *("hm", *spoken[1:], "\N{HORIZONTAL ELLIPSIS}", "message"),
        *("message", "\N{HORIZONTAL ELLIPSIS}", *spoken[1:]),
    ]
    assert all(item["id"].startswith("rs_") for item in sent if item["type"] == "reasoning")
    assert written.losses == []
    assert write_request(chat([USER, said]), profile("moonshot")).body["input"] == [USER, said]


def test_an_assistant_speaks_in_the_only_form_without_an_id() -> None:
    parts = [{"type": "output_text", "text": "No: ", "annotations": []}, {"type": "refusal", "refusal": "never"}]
    written = write_request(chat([{"type": "message", "role": "assistant", "content": parts}]), GENERIC)

    assert written.body["input"] == [{"type": "message", "role": "assistant", "content": "No: never"}]
    assert lost(written) == [("messages", Action.APPROXIMATED)]


def test_only_what_an_assistant_refused_is_said_otherwise() -> None:
    text, refusal = {"type": "output_text", "text": "Hi"}, {"type": "refusal", "refusal": "no"}
    said = [{"type": "message", "role": "assistant", "content": parts} for parts in ([text], [refusal])]

    assert lost(write_request(chat(said[:1]), GENERIC)) == []
    assert lost(write_request(chat(said), GENERIC)) == [("messages", Action.APPROXIMATED)]


@pytest.mark.parametrize(
    ("choice", "names", "left"),
    [
        ({"type": "function", "name": "g"}, ["g"], "required"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]}, ["g"], "auto"),
        ({"type": "function", "name": "nobody"}, ["f", "g"], {"type": "function", "name": "nobody"}),
        ("required", ["f", "g"], "required"),
    ],
)
def test_a_server_without_an_ear_for_names_is_offered_only_the_tools_that_are_named(
    choice: Any, names: list[str], left: Any
) -> None:
    tools = [{"type": "function", "name": name, "parameters": {}} for name in ("f", "g")]
    written = write_request(chat(tools=tools, tool_choice=choice), profile("llama.cpp"))

    assert ([tool["name"] for tool in written.body["tools"]], written.body["tool_choice"]) == (names, left)
    assert write_request(chat(tools=tools, tool_choice=choice), GENERIC).body["tool_choice"] == choice


def test_a_web_search_that_goes_with_the_tools_that_are_not_chosen_is_reported() -> None:
    """As Chat's own setting it is no tool that could be chosen; a client that offers it as a tool has chosen another one."""
    tools = [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}},
        {"type": "web_search"},
    ]
    choice = {"type": "function", "name": "f"}
    asked = chat(tools=tools, tool_choice=choice)
    searching = profile("generic", {"tool_choice": "words"})
    assert (write_request(asked, searching).body["tools"], write_request(asked, searching).losses) == (tools[:1], [])

    asked.search = tools[1]
    for server in (searching, profile("llama.cpp")):
        written = write_request(asked, server)
        assert written.body["tools"] == tools[:1]
        assert lost(written) == [("web_search_options", Action.DROPPED)]
    assert lost(write_request(asked, OPENAI)) == []


def test_a_format_that_the_server_does_not_look_at_is_lost_and_told() -> None:
    text = {"format": {"type": "json_object"}, "verbosity": "low"}
    written = write_request(chat(text=text), profile("llama.cpp"))

    left = {"format": {"type": "text"}, "verbosity": "low"}
    assert (written.body["text"], lost(written)) == (left, [("response_format", Action.DROPPED)])
    assert lost(write_request(chat(text={"format": {"type": "text"}}), profile("llama.cpp"))) == []
    assert write_request(chat(text=text), GENERIC).body["text"] == text


def test_a_text_says_its_format() -> None:
    """LM Studio refuses one that does not."""
    written = write_request(chat(text={"verbosity": "low"}), profile("lmstudio"))

    assert written.body["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert "text" not in write_request(chat(), profile("lmstudio")).body


@pytest.mark.parametrize(("effort", "sent"), [("minimal", "none"), ("xhigh", "high"), ("high", "high"), ("new", "new")])
def test_an_effort_is_told_in_a_word_that_the_server_knows(effort: str, sent: str) -> None:
    """Ollama refuses others on both endpoints."""
    written = write_request(chat(reasoning={"effort": effort}), profile("ollama"))

    assert written.body["reasoning"] == {"effort": sent}
    assert lost(written) == ([] if effort == sent else [("reasoning_effort", Action.APPROXIMATED)])


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ("", "{}"),
        ('{"a": ', '{"arguments":"{\\"a\\": "}'),
        ('{"a": b}', '{"arguments":"{\\"a\\": b}"}'),
        ("[1]", '{"arguments":"[1]"}'),
    ],
)
@pytest.mark.parametrize("plain", [True, False])
def test_arguments_that_no_server_can_read_are_told_as_a_text(arguments: str, sent: str, plain: bool) -> None:
    """Ollama, vLLM and llama.cpp refuse the history with such a call, also the plainest."""
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments}
    if not plain:
        call |= {"extra_content": {}}
    items = [USER, call, {"type": "function_call_output", "call_id": "c", "output": "x"}]
    request = chat(items)
    request.seen = (request.body["input"], [] if plain else [1], None)
    written = write_request(request, GENERIC)

    assert written.body["input"] == [
        USER,
        {key: call[key] for key in call if key != "extra_content"} | {"arguments": sent},
        items[2],
    ]
    assert (("messages", Action.APPROXIMATED) in lost(written)) == ("arguments" in sent)
    assert write_request(request, OPENAI).body["input"][1]["arguments"] == arguments


def test_images_say_their_detail() -> None:
    image = {"type": "input_image", "image_url": "https://e.org/a.png"}
    items = [
        {"type": "message", "role": "user", "content": [image]},
        {"type": "function_call_output", "call_id": "c", "output": [image]},
    ]
    written = write_request(chat(items), GENERIC)

    assert written.body["input"][0]["content"] == [{**image, "detail": "auto"}]
    assert written.body["input"][1]["output"] == [{**image, "detail": "auto"}]


def test_an_output_of_one_text_is_a_string_and_any_other_stays_a_list() -> None:
    text, other = ({"type": "input_text", "text": said} for said in ("sunny", "warm"))
    cached = {**text, "prompt_cache_breakpoint": {}}
    items = [
        {"type": "function_call_output", "call_id": "c", "output": parts} for parts in ([text], [text, other], [cached])
    ]
    outputs = [item["output"] for item in write_request(chat(items), GENERIC).body["input"]]

    assert outputs == ["sunny", [text, other], [cached]]


@pytest.mark.parametrize("choice", ["none", "auto", "required", {"type": "function", "name": "f"}])
def test_a_server_that_hears_no_choice_gets_no_tools_where_none_may_be_called(choice: Any) -> None:
    given = chat(tools=[{"type": "function", "name": "f", "parameters": {}}], tool_choice=choice)
    written = write_request(given, profile("ollama"))

    assert ("tools" in written.body, "tool_choice" in written.body) == (choice != "none", choice != "none")
    assert lost(written) == ([] if choice in ("none", "auto") else [("tool_choice", Action.APPROXIMATED)])


def test_a_long_call_id_is_replaced_in_the_call_and_its_output() -> None:
    long = "call_" + "x" * 80
    items = [
        {"type": "function_call", "call_id": long, "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": long, "output": "1"},
    ]
    call, output = write_request(chat(items), GENERIC).body["input"]

    assert call["call_id"] == output["call_id"]
    assert len(call["call_id"]) <= 64


def test_a_reference_needs_somebody_who_keeps_items() -> None:
    request = read_request({"model": "m", "input": [USER, {"type": "item_reference", "id": "msg_1"}]})

    with pytest.raises(BadRequest) as refused:
        write_request(request, GENERIC)
    assert refused.value.param == "input[1].id"
    assert write_request(request, OPENAI).body["input"] == request.items


def test_a_responses_request_stays_what_it_is() -> None:
    body = {"model": "m", "input": [USER, {"type": "brand_new", "x": 1}], "top_k": 3, "reasoning": {"effort": "low"}}
    written = write_request(read_request(body), OPENAI)

    assert written.body == {**body, "store": True, "stream": False}
    assert written.losses == []


def test_options_of_a_background_that_is_not_the_upstreams_stay_here() -> None:
    options = {"completion_window": "8h", "continuation_id": "c"}
    body = {"model": "m", "input": [USER], "background_options": options}

    there = write_request(read_request({**body, "background": True}), OPENAI)
    assert (there.body["background_options"], there.losses) == (options, [])
    here = write_request(read_request(body), GENERIC)
    assert "background_options" not in here.body
    assert lost(here) == [("background_options", Action.DROPPED)]
    assert write_request(read_request({**body, "background_options": None}), GENERIC).losses == []


def test_an_empty_ciphertext_is_none() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": ""}
    written = write_request(read_request({"model": "m", "input": [thought, USER]}), OPENAI)

    assert written.body["input"][0] == {"type": "reasoning", "id": "rs_1", "summary": []}


@needs_validator
def test_the_official_file_takes_what_is_written() -> None:
    validate = load()
    assert validate is not None
    tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}
    items = [
        {"type": "message", "role": "system", "content": "s"},
        {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "https://e.org/a.png"}]},
        THOUGHT,
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    ]
    written = write_request(chat(items, stream=True, tools=[tool], parallel_tool_calls=False), profile("vllm"))

    assert validate.errors(validate.check(written.body, "responses.request")) == []
