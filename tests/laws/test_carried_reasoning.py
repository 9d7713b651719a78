"""Laws of reasoning that Chat clients carry for a Responses upstream: it comes back, and where it was."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from adapter.conform import strategies
from adapter.conform.strict_responses import problems
from adapter.upstream.profiles import profile
from tests.laws.carried import CARRYING, answered, round_trip, thought

STREAMS = st.booleans()
PROFILES = st.sampled_from(CARRYING)


@st.composite
def outputs(draw: DrawFn) -> list[dict[str, Any]]:
    """An answer that one Chat message says in the same order: at most one text, then calls, and reasoning before any of these."""
    spoken = draw(st.lists(st.just("call"), min_size=1, max_size=4) | st.just([]))
    spoken = ["text", *spoken] if not spoken or draw(st.booleans()) else spoken
    output: list[dict[str, Any]] = []
    for kind in spoken:
        output += [thought(len(output) + at) for at in range(draw(st.sampled_from([1, 0, 2])))]
        number = len(output)
        if kind == "text":
            part = {
                "type": "output_text",
                "text": draw(st.sampled_from(["x", "Well. ", "é😀"])),
                "annotations": [],
                "logprobs": [],
            }
            item = {
                "id": f"msg_{number}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [part],
            }
        else:
            item = {"id": f"fc_{number}", "type": "function_call", "status": "completed", "call_id": f"call_{number}"}
            item |= {"name": "f", "arguments": draw(st.sampled_from(["{}", '{"a": 1}']))}
        output.append(item)
    return output


def in_short(items: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """What items say that a client can send back."""
    said = {"reasoning": "encrypted_content", "function_call": "arguments", "message": "content"}
    texts = [(item["type"], item[said[item["type"]]]) for item in items]
    return [(kind, text[0]["text"] if isinstance(text, list) else text) for kind, text in texts]


@given(output=outputs(), to=PROFILES, stream=STREAMS, width=st.integers(1, 4))
def test_an_answer_sent_back_is_the_answer(output: list[dict[str, Any]], to: str, stream: bool, width: int) -> None:
    """The same reasoning in the same places, and nothing is lost."""

    sent = round_trip(output, to=to, stream=stream, width=width)
    assert in_short(sent.value["input"][1 : 1 + len(output)]) == in_short(output)
    assert [item["id"] for item in sent.value["input"] if item["type"] == "reasoning"] == [
        item["id"] for item in output if item["type"] == "reasoning"
    ]
    assert sent.losses == []


@given(output=outputs(), to=PROFILES, width=st.integers(1, 4))
def test_a_stream_tells_what_the_plain_answer_tells(output: list[dict[str, Any]], to: str, width: int) -> None:
    """The message that its client puts together is the same."""

    assert answered(output, stream=True, width=width, to=to) == answered(output, stream=False, to=to)


@given(spoken=strategies.spoken(), to=PROFILES, stream=STREAMS)
def test_of_any_answer_all_reasoning_comes_back_in_its_order_before_something(
    spoken: strategies.Spoken, to: str, stream: bool
) -> None:
    """Also where Chat cannot say in which order the rest came."""

    output = [
        item | {"encrypted_content": f"gAAA{at}"} if "encrypted_content" in item else item
        for at, item in enumerate(spoken.items)
    ]
    sent = round_trip(output, to=to, stream=stream).value
    items = sent["input"]
    assert [item["encrypted_content"] for item in items if item["type"] == "reasoning"] == [
        item["encrypted_content"] for item in output if "encrypted_content" in item
    ]
    followers = [after for item, after in pairwise(items) if item["type"] == "reasoning"]
    assert all(
        after["type"] == "reasoning" or after.get("role") == "assistant" or "name" in after for after in followers
    )
    assert not [one for one in problems(sent, profile(to)) if "reasoning" in one]
