"""What only some Chat servers say in an answer: carried where Responses has a place for it, else an anomaly."""

from __future__ import annotations

from typing import Any

import pytest

from adapter import translate
from adapter.hub.fold import fold
from tests.dialects.chat.making import chunk_bytes, read_all

DETAILS = [
    {"type": "reasoning.summary", "summary": "First. "},
    {"type": "reasoning.text", "text": "Then.", "signature": "s"},
    {"type": "reasoning.encrypted", "data": "xyz"},
]
CITED = ["https://a.example", "https://b.example", "https://a.example"]


def reply(message: dict[str, Any], **head: Any) -> tuple[list[dict[str, Any]], list[str]]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x", **message}}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **head}
    made = translate.reply(body, "chat", "responses")
    return made.value["output"], [anomaly.kind for anomaly in made.anomalies]


def urls(item: dict[str, Any]) -> list[str]:
    return [annotation["url"] for annotation in item["content"][0]["annotations"]]


def test_reasoning_details_alone_are_reasoning_and_what_is_encrypted_is_told() -> None:
    output, anomalies = reply({"reasoning_details": DETAILS})
    assert [item["type"] for item in output] == ["reasoning", "message"]
    assert output[0]["content"] == [{"type": "reasoning_text", "text": "First. Then."}]
    assert anomalies == ["reasoning_encrypted"]


def test_reasoning_details_beside_reasoning_say_it_once() -> None:
    output, anomalies = reply({"reasoning": "Then.", "reasoning_details": DETAILS[1:2]})
    assert output[0]["content"] == [{"type": "reasoning_text", "text": "Then."}]
    assert anomalies == []


def test_reasoning_details_are_streamed() -> None:
    pieces = [chunk_bytes({"content": "", "reasoning_details": [one]}) for one in DETAILS]
    events, reader = read_all(*pieces, chunk_bytes({"content": "x"}), chunk_bytes(finish="stop"))
    assert fold(events).output[0]["content"] == [{"type": "reasoning_text", "text": "First. Then."}]
    assert [anomaly.kind for anomaly in reader.anomalies] == ["reasoning_encrypted"]


def test_reasoning_details_that_are_no_list_of_objects_say_nothing() -> None:
    for nonsense in ("x", {"type": "reasoning.text"}, [1, {"type": ["x"]}, {"type": "reasoning.text", "text": 1}, {}]):
        output, anomalies = reply({"reasoning_details": nonsense})
        assert [item["type"] for item in output] == ["message"]
        assert anomalies == []


def test_an_image_that_was_made_is_not_lost_in_silence() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    assert reply({"images": [image]})[1] == ["image_dropped"]
    assert reply({"images": []})[1] == []
    _, reader = read_all(chunk_bytes({"content": "x", "images": [image]}), chunk_bytes(finish="stop"))
    assert [anomaly.kind for anomaly in reader.anomalies] == ["image_dropped"]


def test_audio_that_nobody_asked_for_is_not_lost_in_silence() -> None:
    assert reply({"audio": {"id": "a", "data": "AA", "transcript": "x"}})[1] == ["audio_dropped"]
    assert reply({"audio": None})[1] == []


def test_citations_of_an_answer_are_annotations_of_its_text() -> None:
    (item,), anomalies = reply({}, citations=CITED)
    assert urls(item) == CITED[:2]
    assert anomalies == []


def test_citations_that_the_text_has_already_are_not_said_twice() -> None:
    own = {"type": "url_citation", "url_citation": {"url": CITED[0], "title": "A", "start_index": 0, "end_index": 1}}
    (item,), _ = reply({"annotations": [own]}, citations=CITED)
    assert urls(item) == CITED[:2]


@pytest.mark.parametrize("first", [{"citations": CITED}, {}])
def test_citations_in_every_chunk_of_a_stream_or_the_last_one_are_annotations_once(first: dict[str, Any]) -> None:
    data = chunk_bytes({"content": "x"}, **first), chunk_bytes({}, finish="stop", citations=CITED)
    events, reader = read_all(*data)
    assert urls(fold(events).output[0]) == CITED[:2]
    assert reader.anomalies == []


def test_citations_behind_the_finish_or_without_a_text_are_anomalies() -> None:
    late = chunk_bytes({"content": "x"}), chunk_bytes(finish="stop"), chunk_bytes({}, citations=CITED)
    assert [anomaly.kind for anomaly in read_all(*late)[1].anomalies] == ["citations_late"]
    silent = (chunk_bytes({}, finish="stop", citations=CITED),)
    assert [anomaly.kind for anomaly in read_all(*silent)[1].anomalies] == ["annotation_without_text"]
