"""The laws of translators: each finds the translator with one defect, and none finds anything where nothing is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from adapter import translate
from adapter.conform import laws
from adapter.conform.laws import Name
from adapter.conform.peers import message
from adapter.conform.speaking import Spoken, chat_message, chat_stream, response, responses_events, responses_stream
from adapter.translate import Translated

SPOKEN = message("hello", reasoning="Hm.", calls=[("f", '{"a": 1}'), ("g", "{}")])
RAW, REPLY = responses_stream(SPOKEN), response(SPOKEN)
REFUSED = {"type": "refusal", "refusal": "No."}
BOTH: tuple[Name, ...] = ("chat", "responses")
TO_BOTH = pytest.mark.parametrize("target", BOTH)


def _same(it: Any) -> Any:
    return it


class Translator:
    """`adapter.translate` but for one thing that becomes of its requests, replies, or the bytes of its streams."""

    def __init__(
        self,
        *,
        request: Callable[[dict[str, Any]], dict[str, Any]] = _same,
        reply: Callable[[dict[str, Any]], dict[str, Any]] = _same,
        stream: Callable[[bytes], bytes] = _same,
    ) -> None:
        self._request, self._reply, self._stream = request, reply, stream

    def request(self, body: dict[str, Any], source: Name, target: Name) -> Translated:
        translated = translate.request(body, source, target)
        return translated._replace(value=self._request(translated.value))

    def reply(self, body: dict[str, Any], source: Name, target: Name) -> Translated:
        translated = translate.reply(body, source, target)
        return translated._replace(value=self._reply(translated.value))

    def stream(self, parts: Iterable[bytes], source: Name, target: Name) -> list[bytes]:
        return [self._stream(b"".join(translate.stream(parts, source, target)))]


def _without_last(raw: bytes) -> bytes:
    return raw[: raw.rstrip().rindex(b"\n\n") + 2]


def _last_twice(raw: bytes) -> bytes:
    return raw + raw.removeprefix(_without_last(raw))


# ------------------------------------------------------------------------------------------------------------- streams

SOUND: list[Callable[[bytes], bytes]] = [
    _same,
    lambda raw: raw.replace(b"\n", b"\r\n"),
    lambda raw: raw.replace(b"data: ", b"data:").replace(b"event: ", b"event:"),
    lambda raw: b": a comment\n\n" + raw,
    lambda raw: raw.replace(b'{"id":"chatcmpl', b'{"error":null,"id":"chatcmpl'),
    lambda raw: raw.replace(b'"delta":"', b'"obfuscation":"x","delta":"'),
]


@TO_BOTH
@pytest.mark.parametrize("change", SOUND)
def test_whoever_writes_a_sound_stream_otherwise_keeps_the_laws(target: Name, change: Callable[[bytes], bytes]) -> None:
    sound = Translator(stream=change)
    assert laws.output_is_grammatical(sound, RAW, "responses", target) == []
    assert laws.stream_says_what_the_reply_says(sound, RAW, REPLY, "responses", target) == []
    assert laws.any_cut_gives_the_same(sound, [RAW[:100], RAW[100:]], "responses", target) == []
    assert laws.responses_stream_comes_out_equal(sound, responses_events(SPOKEN), RAW) == []


@TO_BOTH
@pytest.mark.parametrize("change", [lambda raw: b"", lambda raw: b"data: {oops\n\n", lambda raw: b"data: 5\n\n"])
def test_a_stream_that_is_no_answer_is_found_and_raises_nothing(target: Name, change: Callable[[bytes], bytes]) -> None:
    wrong = Translator(stream=change)
    assert laws.output_is_grammatical(wrong, RAW, "responses", target)
    assert laws.stream_says_what_the_reply_says(wrong, RAW, REPLY, "responses", target)
    assert laws.responses_stream_comes_out_equal(wrong, responses_events(SPOKEN), RAW)


@pytest.mark.parametrize(
    ("target", "event"),
    [
        ("chat", b'{"choices": 5}'),
        ("chat", b'{"choices": [{"index": 0, "delta": []}]}'),
        ("responses", b'{"response": 5}'),
    ],
)
def test_events_that_are_none_add_up_to_nothing(target: Name, event: bytes) -> None:
    wrong = Translator(stream=lambda raw: b"data: " + event + b"\n\n")
    told = laws.stream_says_what_the_reply_says(wrong, RAW, REPLY, "responses", target)
    assert told == ["the stream or the reply adds up to no answer"]


def test_a_chat_stream_that_ends_once_is_judged_by_its_grammar_too() -> None:
    without_role = Translator(stream=lambda raw: raw.replace(b'"role":"assistant",', b""))
    assert [told.split(" at ")[0] for told in laws.output_is_grammatical(without_role, RAW, "responses", "chat")] == [
        "role.first"
    ]


@TO_BOTH
@pytest.mark.parametrize("change", [_without_last, _last_twice])
def test_a_stream_that_does_not_end_once_is_found(target: Name, change: Callable[[bytes], bytes]) -> None:
    assert laws.output_is_grammatical(Translator(stream=change), RAW, "responses", target)


@pytest.mark.parametrize("more", [b"", b"data: [DONE]\n\n"])
def test_a_chat_stream_that_fails_ends_with_its_error(more: bytes) -> None:
    failing = Translator(stream=lambda raw: b'data: {"error": {"message": "oh"}}\n\n' + more)
    assert laws.output_is_grammatical(failing, RAW, "responses", "chat") == (["2 endings"] if more else [])


def test_a_responses_stream_may_end_with_an_error() -> None:
    error = (
        b'event: error\ndata: {"type": "error", "sequence_number": 1, "code": null, "message": "oh", "param": null}\n\n'
    )
    begins = Translator(stream=lambda raw: raw[: raw.index(b"\n\n") + 2] + error)
    assert laws.output_is_grammatical(begins, RAW, "responses", "responses") == []


def test_cuts_that_show_are_found() -> None:
    class PerRead(Translator):
        def stream(self, parts: Iterable[bytes], source: Name, target: Name) -> list[bytes]:
            return [b": \n\n" for _ in parts]

    assert laws.any_cut_gives_the_same(PerRead(), [b"a", b"b"], "chat", "chat") == [
        "cut into 2 reads the stream comes out differently"
    ]


@TO_BOTH
@pytest.mark.parametrize(
    ("old", "new"),
    [(b"hel", b"hal"), (b'\\"a\\"', b'\\"b\\"'), (b'"name":"g"', b'"name":"h"'), (b"call_0_1", b"call_0_2")],
)
def test_a_stream_that_says_another_thing_than_the_reply_is_found(target: Name, old: bytes, new: bytes) -> None:
    wrong = Translator(stream=lambda raw: raw.replace(old, new))
    assert laws.stream_says_what_the_reply_says(wrong, RAW, REPLY, "responses", target)


@pytest.mark.parametrize(("old", "new"), [(b"Hm.", b"Hn."), (b'n":"tool_calls"', b'n":"stop"'), (b'"m"', b'"n"')])
def test_so_is_another_reasoning_or_end_or_model_in_chat(old: bytes, new: bytes) -> None:
    def change(raw: bytes) -> bytes:
        assert old in raw
        return raw.replace(old, new)

    assert len(laws.stream_says_what_the_reply_says(Translator(stream=change), RAW, REPLY, "responses", "chat")) == 1


def test_so_is_another_refusal_in_chat() -> None:
    spoken = Spoken(
        [{"id": "msg_0", "type": "message", "role": "assistant", "status": "completed", "content": [REFUSED]}]
    )
    wrong = Translator(stream=lambda raw: raw.replace(b"No.", b"Yes"))
    told = laws.stream_says_what_the_reply_says(wrong, responses_stream(spoken), response(spoken), "responses", "chat")
    assert told == ["refusal: streamed 'Yes', plain 'No.'"]


def test_so_is_another_status_of_a_response() -> None:
    def incomplete(raw: bytes) -> bytes:
        *begun, last = raw.rstrip().split(b"\n\n")
        return (
            b"\n\n".join([*begun, last.replace(b'"status":"completed","error"', b'"status":"incomplete","error"')])
            + b"\n\n"
        )

    wrong = Translator(stream=incomplete)
    told = laws.stream_says_what_the_reply_says(wrong, RAW, REPLY, "responses", "responses")
    assert told == ["status: streamed 'incomplete', plain 'completed'"]


def test_further_choices_are_no_part_of_what_the_first_one_says() -> None:
    chat = chat_stream(SPOKEN)
    *said, done = chat.removesuffix(b"\n\n").split(b"\n\n")
    second = [event.replace(b'"choices":[{"index":0', b'"choices":[{"index":1') for event in said]
    assert laws.folded(b"\n\n".join([*said, *second, done, b""]), "chat") == laws.folded(chat, "chat")


@TO_BOTH
def test_a_reply_without_its_answer_is_found(target: Name) -> None:
    empty = Translator(reply=lambda reply: {})
    assert laws.stream_says_what_the_reply_says(empty, RAW, REPLY, "responses", target)


def test_nulls_in_later_fragments_of_a_call_change_nothing() -> None:
    """SGLang repeats the id and the name of a call so."""

    def change(raw: bytes) -> bytes:
        spelt = raw.replace(b'"function":{"arguments":', b'"id":null,"function":{"name":null,"arguments":')
        assert spelt != raw
        return spelt

    chat = chat_stream(SPOKEN)
    assert laws.folded(change(chat), "chat") == laws.folded(chat, "chat")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda raw: raw.replace(b"hello", b"hallo"), "came out as {"),
        (lambda raw: raw.replace(b'"id":"resp_0"', b'"id":"resp_1"'), "came out as {"),
        (lambda raw: raw.replace(b'"object":"response"', b'"object":"answer"'), "came out as {"),
        (lambda raw: raw.replace(b'"created_at":17', b'"created_at":18'), "came out as {"),
        (lambda raw: raw.replace(b'"model":"m"', b'"model":"n"'), "came out as {"),
        (lambda raw: raw.replace(b'"total_tokens":12', b'"total_tokens":13'), "came out as {"),
        (lambda raw: raw.replace(b'"incomplete_details":null', b'"incomplete_details":{}'), "came out as {"),
        (lambda raw: raw.replace(b'"error":null', b'"error":{}'), "came out as {"),
        (_without_last, "events came out as 2"),
        (_last_twice, "events came out as 2"),
        (lambda raw: raw.replace(b'"status":"completed"', b'"status":"incomplete"'), "came out as {"),
        (lambda raw: raw.replace(b'"store":false', b'"store":true'), ""),
        (lambda raw: raw.replace(b'"sequence_number":1,', b'"sequence_number":7,'), ""),
    ],
)
def test_a_responses_stream_that_comes_out_changed_is_found(change: Callable[[bytes], bytes], found: str) -> None:
    """But for its numbers and what it echoes of the request."""
    told = laws.responses_stream_comes_out_equal(Translator(stream=change), responses_events(SPOKEN), RAW)
    assert [found in finding for finding in told] == ([True] if found else [])


# -------------------------------------------------------------------------------------------------------------- errors


def _raises() -> None:
    raise KeyError("x")


def test_only_the_translators_own_errors_may_be_raised() -> None:
    assert laws.only_these_errors(_raises, LookupError) == []
    assert laws.only_these_errors(dict, ValueError) == []
    assert laws.only_these_errors(_raises, ValueError) == ["KeyError: 'x'"]


# -------------------------------------------------------------------------------------------------------------- replay


def _assistant(change: Callable[[dict[str, Any]], Any]) -> Translator:
    """Writes the assistant's messages otherwise."""

    def changed(body: dict[str, Any]) -> dict[str, Any]:
        copy: dict[str, Any] = json.loads(json.dumps(body))
        for said in copy["messages"]:
            if said["role"] == "assistant":
                change(said)
        return copy

    return Translator(request=changed)


@pytest.mark.parametrize(
    ("translator", "found"),
    [
        (Translator(), 0),
        (_assistant(lambda said: said.update(content="hallo")), 1),
        (_assistant(lambda said: said.update(refusal="No.")), 1),
        (_assistant(lambda said: said.pop("tool_calls")), 1),
        (_assistant(lambda said: said["tool_calls"][0]["function"].update(arguments="{}")), 1),
        (_assistant(lambda said: (said.pop("tool_calls"), said.update(content=None))), 2),
        (Translator(request=lambda body: {"messages": [*body["messages"], *body["messages"]]}), 1),
        (Translator(request=lambda body: {"messages": []}), 1),
        (Translator(request=lambda body: {}), 1),
    ],
)
def test_what_a_chat_upstream_said_comes_back_as_it_was(translator: Translator, found: int) -> None:
    request = {"model": "m", "input": [{"type": "message", "role": "user", "content": "hi"}], "store": False}
    told = laws.replay_gives_back_the_message(translator, chat_message(SPOKEN), REPLY, request)
    assert len(told) == found, told


def test_no_calls_are_no_calls_however_that_is_said() -> None:
    spoken = message("hello")
    said = {**chat_message(spoken), "tool_calls": []}
    request = {"model": "m", "input": [{"type": "message", "role": "user", "content": "hi"}], "store": False}
    assert laws.replay_gives_back_the_message(Translator(), said, response(spoken), request) == []
