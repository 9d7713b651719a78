"""Laws of whole requests, drawn from the official file: what holds of each field by itself holds of any of them together."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter import translate
from adapter.conform.laws import Name
from adapter.conform.strict_chat import problems
from adapter.hub.losses import Loss
from adapter.upstream.profiles import Profile
from tests.laws.drawing import Drawing, leaves, unique
from tests.laws.places import PATH
from tests.laws.test_nothing_in_silence import A_CHAT_CLIENT, A_RESPONSES_CLIENT, GIVEN_BACK, HINT, ROOMY, Shape
from tests.laws.test_requests import profiles
from tests.validator import load

pytestmark = pytest.mark.skipif(not PATH.exists(), reason="needs ../shared/spec")

WAYS: dict[tuple[Name, Name], tuple[Shape, str, dict[str, str]]] = {
    ("responses", "chat"): (
        lambda seed: Drawing(seed).responses_request(),
        "chat.request",
        A_RESPONSES_CLIENT
        | {
            r"input\[0\]\.summary\[0\]\.text = .*": "is in short what stands in the content, or is encrypted",
            r"input\[0\]\.encrypted_content = .*": "can be read by nobody but who wrote it",
            r"input\[0\]\.content\[0\]\.(annotations|logprobs)\[0\].* = .*": GIVEN_BACK,
            r"input\[0\]\.call_id = .*": "of an item that is no call, or stands in its partner",
        },
    ),
    ("chat", "responses"): (
        lambda seed: Drawing(seed).chat_request(),
        "responses.request",
        A_CHAT_CLIENT
        | {
            r"max_tokens = .*": "gives way to max_completion_tokens",
            r"prompt_cache_(key|retention) = .*": HINT,
        },
    ),
}
CHOSEN = {r"((input\[0\]\.)?tools\[0\]|web_search_options)\..* = .*": "is not among the tools that may be chosen"}
KINDS = {
    "name": "name",
    "refusal": "refusal",
    "reasoning_content": "reasoning_content",
    "extra_content": "extra_content",
}
"""What a loss of all messages is about: its kind -> the key."""


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@given(seed=st.integers(0, 2**32), kind=profiles | st.just(ROOMY))
def test_a_whole_request_is_carried_or_told_and_taken(way: tuple[Name, Name], seed: int, kind: Profile) -> None:
    """Each leaf comes out or is told; what comes out is valid, what the strictest server takes, and the same every time."""

    draw, schema, explained = WAYS[way]
    body = draw(seed)
    if body.get("tool_choice") not in (None, "auto", "required"):
        explained = explained | CHOSEN
    before = json.dumps(body)
    made = translate.request(body, *way, profile=kind)

    assert silent(body, made.value, made.losses, explained) == []
    assert invalid(made.value, schema) == []
    assert way[1] == "responses" or problems(made.value, kind) == []
    assert json.dumps(translate.request(body, *way, profile=kind).value) == json.dumps(made.value)
    assert json.dumps(body) == before


def silent(body: dict[str, Any], out: dict[str, Any], losses: list[Loss], explained: dict[str, str]) -> list[str]:
    """The paths of leaves that are neither in `out` nor told."""
    text, numbers = json.dumps(out), {json.dumps(value) for _, value in leaves(out) if type(value) is int}
    lost: dict[str, None] = {}
    for path, value in leaves(body):
        mark = unique(value)
        if mark and mark not in text and mark not in numbers and not any(_tells(loss, path) for loss in losses):
            lost[f"{_first(path)} = {'…' if isinstance(value, str) else mark}"] = None
    return [one for one in lost if not any(re.fullmatch(reason, one) for reason in explained)]


def _first(path: str) -> str:
    return re.sub(r"\[\d+\]", "[0]", path)


def _tells(loss: Loss, path: str) -> bool:
    """The loss is of what stands at `path`, or of what that is in. What stands in every item is told of the first."""
    if loss.path == "messages":
        return KINDS.get(loss.kind, "") in path.split(".")
    at, within = _first(loss.path), _first(path)
    return within == at or within.startswith((f"{at}.", f"{at}["))


def invalid(out: dict[str, Any], schema: str) -> list[str]:
    """What the official file has against a body."""
    official = load()
    assert official is not None
    return [str(problem) for problem in official.errors(official.check(out, schema))]
