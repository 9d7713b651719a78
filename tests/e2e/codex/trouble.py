"""Scenarios in which the model server refuses, breaks or ends early: what Codex shows, and how often it asks again."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from adapter.conform.peers import Answer, Line, Slow, Torn, Turn, fails
from tests.e2e.codex.families import NEWEST, Family, answer, refusal, says, text
from tests.e2e.codex.rig import Lane, Run
from tests.e2e.codex.scenario import Scenario, events_of


class Refusal(Scenario):
    """A refusal is shown; Codex itself would drop it without a word."""

    def script(self, family: Family) -> list[Turn]:
        return [answer(refusal("I cannot help with that."))]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["I cannot help with that."]
        assert len(run.requests) == 1


class Length(Scenario):
    """An answer that was cut for its length is shown and said to be incomplete (0.120.0 asks again all the same)."""

    gives_up = True

    def script(self, family: Family) -> list[Turn]:
        return [says("half a sen", status="incomplete", reason="max_output_tokens")]

    def check(self, run: Run, family: Family) -> None:
        assert "max_output_tokens" in run.failure
        assert set(run.messages) == {"half a sen"}
        assert set(run.tries) == {1 if run.version == NEWEST else 1 + self.retries}


class Filter(Scenario):
    """A filtered answer is asked for again; the next one counts."""

    def script(self, family: Family) -> list[Turn]:
        return [says("some", status="incomplete", reason="content_filter"), says("all of it")]

    def check(self, run: Run, family: Family) -> None:
        assert run.final == "all of it"
        assert len(run.requests) == 2


class DiesInText(Scenario):
    """The connection breaks inside a text: the answer is asked for again."""

    def script(self, family: Family) -> list[Turn]:
        return [Torn(says("half a sentence that never"), 4), says("whole")]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["whole"]
        assert len(run.requests) == 2


class DiesInCall(Scenario):
    """The connection breaks inside a call: it is not run, and the answer is asked for again."""

    def script(self, family: Family) -> list[Turn]:
        return [lambda body: Torn(answer(family.shell(body, "echo x >> ran.txt")), 5), says("whole")]

    def check(self, run: Run, family: Family) -> None:
        assert not (run.work / "ran.txt").exists()
        assert run.messages == ["whole"]


class DiesBehindCall(Scenario):
    """The connection breaks behind a call that was complete, before the answer was: the command runs at most once."""

    def script(self, family: Family) -> list[Turn]:
        def first(body: dict[str, Any]) -> Answer:
            torn = answer(family.shell(body, "echo x >> ran.txt", "torn"), text("and now for something else"))
            return Torn(torn, events_of(torn, body) - 5)

        return [first, says("whole")]

    def check(self, run: Run, family: Family) -> None:
        ran = run.work / "ran.txt"
        assert not ran.exists() or ran.read_text() in ("", "x\n")  # Codex may stop it before it has written
        assert run.final == "whole"


class DiesAlways(Scenario):
    """A server that breaks every answer: the turn fails after the retries, over a socket and then over HTTP, and says so."""

    retries = 1
    gives_up = True

    def script(self, family: Family) -> list[Turn]:
        return [Torn(says("half a sentence that never"), 4)]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == []
        assert run.failure
        assert set(run.tries) == {2}


class Pauses(Scenario):
    """A server that says nothing for longer than Codex is patient: pings tell it that there is somebody."""

    flags = ("-c", "model_providers.adapter.stream_idle_timeout_ms=2000")

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "" if family.name == "unknown" else "the model makes no difference; tested with an unknown one"

    def script(self, family: Family) -> list[Turn]:
        return [Slow(says("it took a while"), 4)]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["it took a while"]
        assert len(run.requests) == 1


class Refused(Scenario):
    """A permanent fault: asked once, and the server's own words are shown."""

    status: ClassVar[int]
    words: ClassVar[str]
    code: ClassVar[str | None] = None

    def script(self, family: Family) -> list[Turn]:
        return [fails(self.status, self.words, code=self.code)]

    def check(self, run: Run, family: Family) -> None:
        assert self.words in run.failure
        assert len(run.requests) == 1


class BadRequest400(Refused):
    status, words = 400, "temperature does not go with this model"


class Unauthorized401(Refused):
    status, words = 401, "This account has been closed."


class Forbidden403(Refused):
    status, words = 403, "This region is not served."


class NotFound404(Refused):
    status, words = 404, "There is nothing at this path."


class NoSuchModel404(Refused):
    status, words = 404, "The model `whatever` does not exist."


class TooLarge413(Refused):
    status, words = 413, "The request entity is too large."


class Unprocessable422(Refused):
    status, words = 422, "field required: user"


class NoMoney402(Refused):
    """Told as Codex's own words for an empty account; asked once."""

    status, words = 402, "Insufficient Balance"

    def check(self, run: Run, family: Family) -> None:
        assert "Quota exceeded" in run.failure
        assert len(run.requests) == 1


class RateLimited(Scenario):
    """A rate limit with a wait: Codex waits that long and gets its answer."""

    def script(self, family: Family) -> list[Turn]:
        return [fails(429, "Slow down.", code="rate_limit_exceeded", retry_after=1), says("after the wait")]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["after the wait"]
        assert len(run.requests) == 2


class RateLimitedWithoutWait(RateLimited):
    """A rate limit that names no wait gets one: without it Codex would give up."""

    def script(self, family: Family) -> list[Turn]:
        return [fails(429, "Slow down."), says("after the wait")]


class NoQuota(Scenario):
    """429 for want of money is no rate limit: it is not asked again."""

    def script(self, family: Family) -> list[Turn]:
        return [fails(429, "You exceeded your current quota.", code="insufficient_quota")]

    def check(self, run: Run, family: Family) -> None:
        assert "uota" in run.failure
        assert len(run.requests) == 1


class ServerError500(Scenario):
    """A server error may pass: it is asked again."""

    def script(self, family: Family) -> list[Turn]:
        return [fails(500, "Something broke."), says("it passed")]

    def check(self, run: Run, family: Family) -> None:
        assert run.messages == ["it passed"]
        assert len(run.requests) == 2


class Overflow(Scenario):
    """A prompt over the context window, in the words of one kind of server."""

    def __init__(self, server: str, status: int, body: dict[str, Any]) -> None:
        self.server = server
        self.line = Line(status=status, plain=json.dumps(body).encode())

    @property
    def name(self) -> str:
        return f"Overflow_{self.server}"

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "" if lane == "chat" or self.server in ("openai", "vllm") else "this server speaks Chat Completions only"

    def script(self, family: Family) -> list[Turn]:
        return [self.line]

    def check(self, run: Run, family: Family) -> None:
        assert "ran out of room" in run.failure
        assert len(run.requests) == 1


class OverflowInStream(Scenario):
    """The same inside a stream that had begun."""

    def excluded(self, family: Family, version: str, lane: Lane) -> str:
        return "" if lane == "chat" else "a Responses server says it as response.failed, which passes as it is"

    def script(self, family: Family) -> list[Turn]:
        error = {
            "error": {"message": "Requested tokens exceed context window of 8192", "type": "invalid_request_error"}
        }
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        begun = {
            **chunk,
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": "I"}, "finish_reason": None}],
        }
        stream = b"".join(b"data: " + json.dumps(data).encode() + b"\n\n" for data in (begun, error))
        return [Line(streamed=stream)]

    def check(self, run: Run, family: Family) -> None:
        assert "ran out of room" in run.failure
        assert len(run.requests) == 1


def _error(message: str, **facts: Any) -> dict[str, Any]:
    return {"error": {"message": message, **facts}}


OVERFLOWS = (
    Overflow(
        "openai",
        400,
        _error(
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            type="invalid_request_error",
            param="input",
            code="context_length_exceeded",
        ),
    ),
    Overflow(
        "vllm",
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you requested 5120 tokens (5100 in "
            "the messages, 20 in the completion). Please reduce the length of the messages or completion.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    Overflow(
        "llamacpp",
        400,
        _error(
            "the request exceeds the available context size. try increasing the context size or enable context shift",
            code=400,
            type="exceed_context_size_error",
            n_prompt_tokens=5120,
            n_ctx=4096,
        ),
    ),
    Overflow("ollama", 500, _error("prompt too long; exceeded max context length by 1024 tokens", type="api_error")),
    Overflow(
        "deepseek",
        400,
        _error(
            "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens (65904 in the "
            "messages, 4096 in the completion). Please reduce the length of the messages or completion.",
            type="invalid_request_error",
            param=None,
            code="invalid_request_error",
        ),
    ),
)

TROUBLE: tuple[Scenario, ...] = (
    Refusal(),
    Length(),
    Filter(),
    DiesInText(),
    DiesInCall(),
    DiesBehindCall(),
    DiesAlways(),
    Pauses(),
    BadRequest400(),
    Unauthorized401(),
    Forbidden403(),
    NotFound404(),
    NoSuchModel404(),
    TooLarge413(),
    Unprocessable422(),
    NoMoney402(),
    RateLimited(),
    RateLimitedWithoutWait(),
    NoQuota(),
    ServerError500(),
    *OVERFLOWS,
    OverflowInStream(),
)
