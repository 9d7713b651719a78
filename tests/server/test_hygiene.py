"""What may pass a border: header fields by list, keys where they belong, nothing of either in logs or errors."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.server.harness import PATH, Response, adapter, ask_bytes, play, request_bytes, upstream
from tests.server.scripted import (
    END,
    SSE,
    Close,
    Script,
    Stall,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    json_reply,
    response,
    responses_events,
)

DIALECTS = ("chat", "responses")


def test_whose_key_goes_upstream() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up:
            sections = (
                upstream(up.url, "chat", "own", api_key="sk-operator"),
                upstream(up.url, "chat", "callers"),
                upstream(up.url, "chat", "none", api_key="none"),
            )
            async with adapter(*sections) as client:
                for name in ("own", "callers", "none"):
                    await client.ask("chat", provider=name, headers={"authorization": "Bearer sk-caller"})
            sent = [seen.headers.get("authorization") for seen in up.seen]
            assert sent == ["Bearer sk-operator", "Bearer sk-caller", None]

    play(scenario)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sk-1"},
        {"authorization": "bearer sk-1"},
        {"authorization": "sk-1"},
        {"x-api-key": "sk-1"},
        {"x-api-key": "sk-1", "authorization": "Bearer sk-1"},
    ],
)
def test_d22_every_way_to_bring_a_key_goes_on_as_bearer(headers: dict[str, str]) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            assert (await client.ask("chat", headers=headers)).status == 200
            assert up.seen[0].headers["authorization"] == "Bearer sk-1"
            assert "x-api-key" not in up.seen[0].headers

    play(scenario)


def test_b12_two_different_keys_are_refused() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            both = {"authorization": "Bearer sk-1", "x-api-key": "sk-2"}
            assert (await client.ask("chat", headers=both)).status == 400
            raw = ask_bytes("chat").replace(
                b"host: x", b"host: x\r\nauthorization: Bearer a\r\nauthorization: Bearer b", 1
            )
            assert (await client.send(raw)).status == 400
            assert not up.seen

    play(scenario)


TELLS = "Incorrect API key provided: sk-proj-CANARY0123456789, of org-CANARY0123456789."
BROKEN = {**response(status="failed"), "output": [], "error": {"code": "server_error", "message": TELLS}}
SAID = {"message": TELLS, "type": "server_error", "code": None, "param": None}
BEGUN: dict[str, Script] = {
    "chat": [SSE, event(chunk({"content": "Hel"}))],
    "responses": [SSE, *(event(each, each["type"]) for each in responses_events()[:5])],
}


@pytest.mark.parametrize(
    ("dialect", "ends"),
    [
        ("chat", [event({"error": SAID}), END]),
        ("chat", [event({**chunk({}, "error"), "error": SAID}), event(b"[DONE]"), END]),
        ("responses", [event({"type": "response.failed", "sequence_number": 5, "response": BROKEN}), END]),
        (
            "responses",
            [event({"type": "error", "sequence_number": 5, "message": TELLS, "code": None, "param": None}), END],
        ),
        ("responses", [event({"type": "error", "sequence_number": 5, "error": SAID}), END]),
    ],
)
@pytest.mark.parametrize("surface", DIALECTS)
def test_b26_an_error_in_a_stream_tells_no_key_of_the_operator(surface: str, dialect: str, ends: Script) -> None:
    """Nor its account; what else it says stays, whether it is translated or passes."""

    async def scenario() -> None:
        script = [*BEGUN[dialect], *ends]
        async with Upstream(script) as up, adapter(upstream(up.url, dialect, api_key="sk-operator")) as client:
            answer = await client.ask(surface, stream=True)
            assert b"CANARY" not in answer.body
            assert b"Incorrect API key provided: [redacted]" in answer.body
            if surface == "responses":
                assert answer.types[-1] == "response.failed"
                numbers = [told["sequence_number"] for told in answer.events]
                assert numbers == list(range(len(numbers)))
            else:
                assert "error" in answer.events[-1]

    play(scenario)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_in_a_stream_that_tells_no_key_passes_as_it_is(dialect: str) -> None:
    async def scenario() -> None:
        said = {**SAID, "message": "It is broken.", "beside": 1}
        broken = {**BROKEN, "error": {"code": "server_error", "message": "It is broken.", "beside": 1}}
        last = (
            event({"error": said})
            if dialect == "chat"
            else event({"type": "response.failed", "sequence_number": 5, "response": broken}, "response.failed")
        )
        async with (
            Upstream([*BEGUN[dialect], last, END]) as up,
            adapter(upstream(up.url, dialect, api_key="sk-operator")) as client,
        ):
            answer = await client.ask(dialect, stream=True)
            assert answer.body.endswith(last.split(b"\r\n", 1)[1].removesuffix(b"\r\n"))

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_b27_b28_fields_pass_by_list_only(dialect: str, stream: bool) -> None:
    async def scenario() -> None:
        script: Script = chat_stream("Hello") if stream else [json_reply(chat_reply())]
        fields = (
            "HTTP/1.1 200 X\r\nset-cookie: a=CANARY\r\nopenai-model: gpt-CANARY\r\nx-request-id: CANARY\r\nserver: CANARY\r\n"
            "x-ratelimit-remaining-tokens: 99\r\nopenai-processing-ms: 12\r\nx-secret: CANARY"
        )
        first = script[0]
        assert isinstance(first, bytes)
        script[0] = first.replace(b"HTTP/1.1 200 X", fields.encode(), 1)
        async with Upstream(script) as up, adapter(upstream(up.url, "chat")) as client:
            sent = {
                "cookie": "CANARY=1", "x-forwarded-for": "CANARY", "x-custom": "CANARY", "referer": "CANARY",
                "traceparent": "00-1-2-01", "openai-organization": "org-1",
            }  # fmt: skip
            answer = await client.ask(dialect, stream=stream, headers=sent)
            assert "CANARY" not in str(answer.headers)
            assert answer.headers["x-ratelimit-remaining-tokens"] == "99"
            assert answer.headers["openai-processing-ms"] == "12"
            got = up.seen[0].headers
            assert "CANARY" not in str(got)
            assert (got["traceparent"], got["openai-organization"]) == ("00-1-2-01", "org-1")
            assert got["accept-encoding"] == "identity"
            await client.ask(dialect, stream=stream)
            assert "cookie" not in up.seen[1].headers

    play(scenario)


def test_a_clients_organisation_does_not_ride_on_the_operators_key() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(chat_reply())]) as up,
            adapter(upstream(up.url, "chat", api_key="sk-1")) as client,
        ):
            said = {"openai-organization": "org-1", "originator": "codex_exec", "chatgpt-account-id": "a"}
            await client.ask("chat", headers=said)
            assert not said.keys() & set(up.seen[0].headers)

    play(scenario)


def test_who_is_logged_in_at_chatgpt_says_for_which_account() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(response())]) as up, adapter(upstream(up.url, "responses")) as client:
            await client.ask("responses", headers={"chatgpt-account-id": "a", "authorization": "Bearer eyJ"})
            assert up.seen[0].headers["chatgpt-account-id"] == "a"

    play(scenario)


@pytest.mark.parametrize("whose", ["callers", "operators"])
def test_a_server_hears_again_what_it_gave_codex_for_the_turn(whose: str) -> None:
    async def scenario() -> None:
        reply = json_reply(response(), 200, "x-codex-turn-state: sticky")
        key = {} if whose == "callers" else {"api_key": "sk-1"}
        async with Upstream([reply]) as up, adapter(upstream(up.url, "responses", **key)) as client:
            state = (await client.ask("responses")).headers["x-codex-turn-state"]
            await client.ask("responses", headers={"x-codex-turn-state": state})
            assert up.seen[1].headers["x-codex-turn-state"] == "sticky"

    play(scenario)


def test_codex_is_shown_where_its_plan_stands() -> None:
    fields = {"x-codex-primary-used-percent": "42", "x-codex-secondary-reset-at": "1", "x-codex-credits-balance": "7"}

    async def scenario() -> None:
        reply = json_reply(response(), 200, *(f"{name}: {value}" for name, value in fields.items()))
        async with Upstream([reply]) as up, adapter(upstream(up.url, "responses")) as client:
            assert fields.items() <= (await client.ask("responses")).headers.items()

    play(scenario)


@pytest.mark.parametrize(("given", "kept"), [("abc-123.x:y_z", True), ("a b", False), ("x" * 129, False), ("ü", False)])
def test_b13_a_request_id_is_taken_where_it_is_well_formed(given: str, kept: bool) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.ask("chat", headers={"x-request-id": given})
            assert (answer.headers["x-request-id"] == given) is kept
            assert up.seen[0].headers["x-request-id"] == answer.headers["x-request-id"]

    play(scenario)


def test_a_request_id_of_ours_is_a_uuid_since_servers_refuse_any_other() -> None:
    """llama-cpp-python, and whatever else has starlette-context: 400 without a body."""

    async def scenario() -> None:
        async with Upstream([json_reply(chat_reply())]) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.ask("chat")
            assert up.seen[0].headers["x-request-id"] == answer.headers["x-request-id"]
            assert UUID(answer.headers["x-request-id"]).hex == answer.headers["x-request-id"]

    play(scenario)


def _codex(status: int, fields: tuple[str, ...] = (), originator: str = "codex_exec") -> Response:
    found: list[Response] = []

    async def scenario() -> None:
        error = {"error": {"message": "no", "type": "x", "code": None, "param": None}}
        async with Upstream([json_reply(error, status, *fields)]) as up, adapter(upstream(up.url, "chat")) as client:
            found.append(await client.ask("responses", headers={"originator": originator}))

    play(scenario)
    return found[0]


@pytest.mark.parametrize("status", [401, 403, 404, 408, 409, 413, 422])
def test_permanent_faults_of_an_upstream_are_400_for_codex_only(status: int) -> None:
    assert _codex(status).status == 400
    assert _codex(status, originator="other").status == status


@pytest.mark.parametrize(
    ("fields", "seconds"), [((), None), (("retry-after: 3",), "3"), (("retry-after-ms: 1500",), "2")]
)
def test_codex_always_gets_whole_seconds_with_a_429(fields: tuple[str, ...], seconds: str | None) -> None:
    answer = _codex(429, fields)
    assert answer.status == 429
    assert answer.headers["retry-after"].isdigit()
    if seconds is not None:
        assert answer.headers["retry-after"] == seconds


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (400, "maximum context length is 4096 tokens", ("context_length_exceeded", "")),
        (402, "Insufficient Balance", ("insufficient_quota", "")),
        (429, "Slow down.", ("rate_limit_exceeded", "try again in 3s")),
        (404, "The model `m` does not exist", None),
    ],
)
def test_an_early_codex_is_told_inside_the_stream_what_it_must_act_on(
    status: int, said: str, told: tuple[str, str] | None
) -> None:
    """0.120 takes any 400 and any 429 for the end; its successors go by the code that comes with the status."""

    async def scenario() -> None:
        refused = json_reply({"error": {"message": said}}, status, "retry-after: 3")
        async with Upstream([refused]) as up, adapter(upstream(up.url, "chat")) as client:
            for version, inside in (("0.120.0", told), ("0.171.0", None)):
                agent = {"originator": "codex_exec", "user-agent": f"codex_exec/{version} (Debian)"}
                answer = await client.ask("responses", headers=agent, stream=True)
                if inside is None:
                    assert answer.status in ((400,) if told is None and version == "0.120.0" else (400, 404, 429))
                    continue
                assert (answer.status, answer.whole) == (200, True)
                failed = answer.events[-1]["response"]["error"]
                assert failed["code"] == inside[0]
                assert inside[1] in failed["message"]

    play(scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_b25_b32_no_secret_and_no_prompt_is_ever_logged(capfd: pytest.CaptureFixture[str], stream: bool) -> None:
    async def scenario() -> None:
        failing: list[Script] = [
            chat_stream("CANARY-ANSWER") if stream else [json_reply(chat_reply("CANARY-ANSWER"))],
            [json_reply({"error": {"message": "CANARY-UPSTREAM sk-CANARY"}}, 500)],
            [Close()],
            [json_reply(b'{"CANARY')],
        ]
        async with Upstream(*failing) as up:
            section = upstream(up.url, "chat", api_key="sk-CANARY-OPERATOR")
            async with adapter(section, log_level="debug") as client:
                for dialect in DIALECTS:
                    for _ in failing:
                        headers = {"authorization": "Bearer sk-CANARY-CALLER", "user-agent": "CANARY"}
                        text = {"instructions": "CANARY-PROMPT"} if dialect == "responses" else {"user": "CANARY-USER"}
                        await client.ask(dialect, stream=stream, headers=headers, **text)
                await client.post(PATH["chat"], b'{"CANARY-BROKEN')
                await client.ask("chat", model="CANARY\n")
                await client.get("/CANARY-PATH?key=sk-CANARY")

    play(scenario)
    written = capfd.readouterr()
    assert "request" in written.out
    assert "CANARY" not in written.out + written.err


def test_a_defect_is_a_500_that_says_nothing_and_a_log_line_without_values(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("CANARY")

    monkeypatch.setattr("adapter.server.courses.deciding.passed", broken)

    async def scenario() -> None:
        async with Upstream([Stall()]) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.ask("chat")
            assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
            assert b"CANARY" not in answer.body

    play(scenario, defects=1)
    written = capfd.readouterr()
    assert '"defect"' in written.out
    assert "KeyError" in written.out
    assert "CANARY" not in written.out + written.err


@pytest.mark.parametrize("prefix", ["/v1", "", "/v1/v1"])
def test_every_way_to_join_a_base_url(prefix: str) -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(response())]) as up, adapter(upstream(up.url, "responses")) as client:
            assert (await client.post(f"{prefix}/responses", {"model": "m", "input": "Hi"})).status == 200
            assert (await client.get(f"{prefix}/livez")).status == 200
            assert (await client.get(f"{prefix}/readyz")).status == (await client.get(f"{prefix}/health")).status == 200
            chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
            assert (await client.post(f"{prefix}/chat/completions", chat)).status == 200
            assert up.seen[0].line.split()[1] == "/v1/responses"

    play(scenario)


def test_head_and_query_strings_are_harmless() -> None:
    async def scenario() -> None:
        async with adapter() as client:
            raw = request_bytes("HEAD", "/livez?verbose=1")
            assert (await client.send(raw.replace(b"host", b"connection: close\r\nhost"))).status == 200

    play(scenario)
