"""Nothing is lost in silence: every field, form and value that the official file knows goes through, is told, or is refused.

The machine puts each into a small request or answer and translates it. What stands there must stand in what comes out, or
what is reported must change, or the request is refused. What neither happens to stands in a table below, with its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias, get_args

import pytest

from adapter import translate
from adapter.conform.laws import Name
from adapter.errors import AdapterError
from adapter.hub.losses import Anomaly, Loss
from adapter.upstream.profiles import GENERIC, AcceptedByResponses, Profile, profile
from tests.laws import asking
from tests.laws.places import ABSENT, PATH, Place, places

pytestmark = pytest.mark.skipif(not PATH.exists(), reason="needs ../shared/spec")

ROOMY = replace(
    profile("openai"),
    web_search_options=True,
    reasoning_input=True,
    responses_accepts=frozenset(get_args(AcceptedByResponses)),
)
"""Takes all that an upstream can."""


Shape: TypeAlias = Callable[[Any], Any]
"""Makes an instance of a schema one that can be asked or answered."""


class Outcome(NamedTuple):
    """What came of an instance."""

    out: str = ""
    told: tuple[Loss | Anomaly, ...] = ()
    refused: bool = False


def silent(found: list[Place], outcome: Callable[[Any], Outcome]) -> list[str]:
    """`path = value` of the places of which nothing is left."""
    lost: dict[str, None] = {}
    for place in found:
        whole = outcome(place.whole)
        without = outcome({} if place.without is ABSENT else place.without)
        if whole.refused or set(whole.told) - set(without.told) or _related(place.path, whole.told):
            continue
        if _stands(place.value, whole.out) <= _stands(place.value, without.out) and (
            place.marked or whole.out == without.out
        ):
            lost[f"{place.path} = {'…' if place.marked else json.dumps(place.value)}"] = None
    return list(lost)


def _related(path: str, told: tuple[Loss | Anomaly, ...]) -> bool:
    """The value itself, or what it stands in, is told of: in both instances, where there must be some value."""
    paths = [re.sub(r"(input|messages)\[\d+\]", r"\1[0]", loss.path) for loss in told if isinstance(loss, Loss)]
    return any(path == at or path.startswith((f"{at}.", f"{at}[")) for at in paths)


def _stands(value: Any, out: str) -> int:
    return out.count(json.dumps(value).strip('"'))


def unexplained(lost: list[str], explained: dict[str, str]) -> list[str]:
    """What is lost for no reason that is known; and reasons for what is not lost."""
    stale = [f"stale: {reason}" for reason in explained if not any(re.fullmatch(reason, one) for one in lost)]
    return [one for one in lost if not any(re.fullmatch(reason, one) for reason in explained)] + stale


def asked(shape: Shape, source: Name, target: Name, kind: Profile) -> Callable[[Any], Outcome]:
    """Translates requests."""

    def outcome(given: Any) -> Outcome:
        try:
            found = translate.request(shape(given), source, target, profile=kind)
        except AdapterError:
            return Outcome(refused=True)
        return Outcome(json.dumps(found.value), tuple(found.losses))

    return outcome


def told(shape: Shape, source: Name, target: Name) -> Callable[[Any], Outcome]:
    """Translates answers, plain or streamed."""

    def outcome(given: Any) -> Outcome:
        shaped = shape(given)
        try:
            if isinstance(shaped, list):
                stream = translate.stream(shaped, source, target)
                return Outcome(b"".join(stream).decode(), (*stream.losses, *stream.anomalies))
            reply = translate.reply(shaped, source, target)
        except AdapterError:
            return Outcome(refused=True)
        return Outcome(json.dumps(reply.value), (*reply.losses, *reply.anomalies))

    return outcome


# --------------------------------------------------------------------------------------------------------- requests

OF_THE_ADAPTER = "is the adapter's own business"
SAYS_NOTHING = "is what is meant where nothing is said"
GIVEN_BACK = "came with an answer, and says nothing to a model"
HINT = "saves time or money, and changes no answer"

A_RESPONSES_CLIENT = {
    r"(background|stream|stream_options\.include_obfuscation) = (true|false)": OF_THE_ADAPTER,
    r"store = .*": OF_THE_ADAPTER,
    r"reasoning\.(generate_)?summary = .*": "is made of the answer's own reasoning",
    r"include\[0\] = .*": "is about hosted tools, or sealed here",
    r"max_tool_calls = .*": "is about hosted tools",
    r"prompt_cache_(key|retention|options\..*) = .*": HINT,
    r".*\.prompt_cache_breakpoint\.vendor_key = …": HINT,
    r"(input\[0\]\.)?tools\[0\](\.tools\[0\])?\.defer_loading = .*": "is offered at once",
    r'text\.(format = "text"|format\.strict = false|verbosity = "medium")': SAYS_NOTHING,
    r'service_tier = "(auto|default)"': SAYS_NOTHING,
    r'truncation = "disabled"': SAYS_NOTHING,
    r'reasoning\.(mode = "standard"|context = "auto")': SAYS_NOTHING,
    r".*tools\[0\]\.(strict = false|external_web_access = true)": SAYS_NOTHING,
    r'.*tools\[0\]\.(allowed_callers\[0\] = "direct"|environment = "local"|format = "text")': SAYS_NOTHING,
    r".*\.detail = \"auto\"": SAYS_NOTHING,
    r".*tools\[0\]\.type = \"web_search.*": "is the same tool of another date",
    r"input\[0\]\.(content|output)\[0\] = \"input_text\"": "is the same text as a string",
    r"input\[0\]\.content\[0\]\.(file_id|file_url) = …": "names what is there by another name, too",
    r"input\[0\]\.(id|status|phase|caller|caller\..*) = .*": GIVEN_BACK,
    r"input\[0\]\.content\[0\]\.(annotations|logprobs)\[0\].* = .*": GIVEN_BACK,
    r"input\[0\]\.(name|namespace) = …": "stands in the call of the output",
    r"input\[0\]\.(environment|environment\..*|max_output_length) = .*": "is how a call was run that is over",
}
A_CHAT_CLIENT = {
    r"(stream|stream_options\.include_usage|n|store) = .*": OF_THE_ADAPTER,
    r"modalities\[0\] = \"text\"": SAYS_NOTHING,
    r"messages\[0\]\.content\[0\] = \"text\"": "is the same text as a string",
    r"messages\[0\]\.content\[0\]\.image_url\.detail = \"auto\"": SAYS_NOTHING,
    r"(response_format\.json_schema|tools\[0\]\.function)\.strict = false": SAYS_NOTHING,
    r"logprobs = false": SAYS_NOTHING,
    r"messages\[0\]\.content\[0\]\.prompt_cache_breakpoint\.vendor_key = …": HINT,
}


@pytest.mark.parametrize(
    ("schema", "shape", "ways", "explained"),
    [
        ("CreateResponse", asking.responses_request, ("responses", "chat"), A_RESPONSES_CLIENT),
        ("CreateChatCompletionRequest", asking.chat_request, ("chat", "responses"), A_CHAT_CLIENT),
    ],
    ids=["responses", "chat"],
)
def test_of_a_request(schema: str, shape: Shape, ways: tuple[Name, Name], explained: dict[str, str]) -> None:
    """Fields, items, messages, parts, tools, choices, formats; over a careful server, and over one that takes everything."""

    found = places(schema)
    lost = [one for kind in (GENERIC, ROOMY) for one in silent(found, asked(shape, *ways, kind))]
    assert unexplained(lost, explained) == []


# ---------------------------------------------------------------------------------------------------------- answers

OF_A_TOKEN = "would take a look at each token"
OF_MODERATION = "is of a moderation's own words"
SPELT_OTHERWISE = "is what the other dialect says by itself"

A_CHAT_ANSWER = {
    r"choices\[0\]\.logprobs\.((content|refusal)\[0\]\.(top_logprobs\[0\]\.)?)?vendor_key = …": OF_A_TOKEN,
    r"moderation\.((input|output)\.)?vendor_key = …": OF_MODERATION,
    r"metadata = …": "is echoed from the request",
    r"obfuscation = …": HINT,
    r" = \"chat\.completion\.chunk\"": SPELT_OTHERWISE,
    r"(id|created|model) = .*": "stood in the first chunk",
    r"choices\[0\]\.(index|delta\.role|delta\.tool_calls\[0\]\.index) = .*": SPELT_OTHERWISE,
    r'choices\[0\]\.finish_reason = "(tool_calls|function_call)"': SPELT_OTHERWISE,
    r"choices\[0\]\.message\.audio\..* = .*": "the whole is an anomaly: nobody can ask for audio here",
    r"moderation\.(input|output)\.model = …": "stands in the result",
}
A_CHAT_ANSWER_IN_RESPONSES = A_CHAT_ANSWER | {r"system_fingerprint = …": "Responses has none (deprecated)"}
ECHO = re.compile(
    "(metadata|top_logprobs|temperature|top_p|user|safety_identifier|prompt_cache|previous_response_id|background|tools"
    "|max_tool_calls|text|tool_choice|prompt|truncation|instructions|parallel_tool_calls|conversation|max_output_tokens"
    "|reasoning|output_text)"
)
"""What a Response says of its request."""
A_RESPONSE = {
    r"(error|incomplete_details)\..* = .*": "is of a status that this response has not",
    r'(output\[0\]\.)?status = "(completed|in_progress)"': SPELT_OTHERWISE,
    r"completed_at = .*": SPELT_OTHERWISE,
}
A_RESPONSE_IN_RESPONSES = A_RESPONSE | {
    r'output\[0\]\.status = "(searching|interpreting|generating)"': "is over with the response",
}
A_RESPONSE_IN_CHAT = A_RESPONSE | {
    r"(moderation\.)?vendor_key = …": "stands among thirty keys: to look at each is a hundredth of a request",
    r"output\[0\]\.(id|caller|caller\..*|namespace) = .*": "names what a Chat client never offered or never sees",
    r"output\[0\]\.encrypted_content = …": "was not asked for",
}
CHAT = ("CreateChatCompletionResponse", "CreateChatCompletionStreamResponse"), (asking.chat_reply, asking.chat_stream)
RESPONSES = ("Response", "Response"), (asking.responses_reply, asking.responses_stream)


@pytest.mark.parametrize(
    ("schemas", "shapes", "ways", "explained"),
    [
        (*CHAT, ("chat", "responses"), A_CHAT_ANSWER_IN_RESPONSES),
        (*CHAT, ("chat", "chat"), A_CHAT_ANSWER),
        (*RESPONSES, ("responses", "chat"), A_RESPONSE_IN_CHAT),
        (*RESPONSES, ("responses", "responses"), A_RESPONSE_IN_RESPONSES),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) and value[0] in ("chat", "responses") else "",
)
def test_of_an_answer(
    schemas: tuple[str, str], shapes: tuple[Shape, Shape], ways: tuple[Name, Name], explained: dict[str, str]
) -> None:
    """Items of every type, text, refusals, calls, annotations, log probabilities, usage; plain, and streamed; to a client of
    the other dialect, and through the hub to one of the same."""

    lost: list[str] = []
    for schema, shape in zip(schemas, shapes, strict=True):
        found = [place for place in places(schema) if schema != "Response" or not ECHO.match(place.path)]
        lost += silent(found, told(shape, *ways))
    assert unexplained(lost, explained) == []
