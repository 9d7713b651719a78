"""GET /v1/models: one answer for OpenAI clients and for Codex."""

from __future__ import annotations

from typing import Any

import pytest
from orjson import dumps, loads

from tests.server.harness import adapter, play, upstream
from tests.server.scripted import Close, Seen, Step, Upstream, json_reply

CODEX_NEEDS = {
    "slug", "display_name", "supported_reasoning_levels", "shell_type", "visibility", "supported_in_api", "priority",
    "support_verbosity", "truncation_policy", "experimental_supported_tools", "base_instructions",
}  # fmt: skip


DEEP = b'{"models": [{"slug": "m", "deep": ' + b"[" * 800 + b"]" * 800 + b"}]}"


def _list(*names: str) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 7, "owned_by": "them"} for name in names],
    }


def test_the_union_filtered_by_patterns_with_aliases() -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply(_list("qwen3", "secret", "gpt-x"))]) as one,
            Upstream([json_reply({}, 404)]) as two,
        ):
            sections = (
                upstream(
                    one.url,
                    "chat",
                    "one",
                    models=["qwen*"],
                    aliases={"gpt-5.5": "qwen3", "gpt-4*": "qwen3", "s[1m]": "qwen3"},
                ),
                upstream(two.url, "responses", "two", models=["exact-name", "glob-*"]),
            )
            async with adapter(*sections) as client:
                answer = await client.get("/v1/models")
                assert answer.json["object"] == "list"
                assert [entry["id"] for entry in answer.json["data"]] == ["qwen3", "gpt-5.5", "s[1m]", "exact-name"]
                assert all(set(e) == {"id", "object", "created", "owned_by"} for e in answer.json["data"])
                assert [entry["slug"] for entry in answer.json["models"]] == ["qwen3", "gpt-5.5", "s[1m]", "exact-name"]
                assert all(set(entry) >= CODEX_NEEDS for entry in answer.json["models"])
                assert answer.headers["x-request-id"]
            assert one.seen[0].line.split()[1] == "/v1/models"

    play(scenario)


def test_a_codex_is_offered_reasoning_where_the_upstream_can_be_asked_for_it() -> None:
    async def scenario() -> None:
        nobody = "http://127.0.0.1:9/v1"
        sections = (
            upstream(nobody, "responses", "one", models=["a"]),
            upstream(nobody, "chat", "two", models=["b"]),
            upstream(nobody, "chat", "three", models=["c"], profile="openai"),
        )
        async with adapter(*sections) as client:
            told = (await client.get("/v1/models")).json["models"]
            assert [(one["slug"], one["supported_reasoning_levels"] != []) for one in told] == [
                ("a", True),
                ("b", False),
                ("c", True),
            ]

    play(scenario)


def test_lists_are_kept_for_a_while_and_apart_for_each_callers_key() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(_list("m"))]) as up, adapter(upstream(up.url, "chat")) as client:
            for key in ("sk-1", "sk-1", "sk-2"):
                await client.get("/v1/models", authorization=f"Bearer {key}")
            assert [seen.headers["authorization"] for seen in up.seen] == ["Bearer sk-1", "Bearer sk-2"]

    play(scenario)


def test_one_model_also_with_a_slash_in_its_name() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply(_list("meta/llama", "m"))]) as up, adapter(upstream(up.url, "chat")) as client:
            assert (await client.get("/v1/models/meta/llama")).json["id"] == "meta/llama"
            assert (await client.get("/models/m")).json["object"] == "model"
            missing = await client.get("/v1/models/none")
            assert (missing.status, missing.json["error"]["code"]) == (404, "model_not_found")
            assert missing.json["error"]["param"] == "model"
            for answer in (missing, await client.get("/v1/models")):
                assert answer.headers["content-type"] == "application/json", "the SDK reads nothing else as JSON"

    play(scenario)


def test_a_list_without_its_envelope_is_read() -> None:
    """Together's."""

    async def scenario() -> None:
        body = dumps(_list("meta/llama", "m")["data"])
        async with Upstream([json_reply(body)]) as up, adapter(upstream(up.url, "chat")) as client:
            answer = await client.get("/v1/models")
            assert [entry["id"] for entry in answer.json["data"]] == ["meta/llama", "m"]

    play(scenario)


NATIVE = {
    "slug": "gpt-x", "display_name": "GPT-X", "default_reasoning_level": "xhigh", "priority": 40, "context_window": 400_000,
    "supported_reasoning_levels": [{"effort": "xhigh", "description": "much"}, {"effort": "ultra", "description": "all"}],
    "shell_type": "unified_exec", "visibility": "list", "supported_in_api": True, "support_verbosity": True,
    "truncation_policy": {"mode": "tokens", "limit": 10_000}, "experimental_supported_tools": [],
    "base_instructions": "You are Codex.", "service_tiers": [{"id": "priority"}], "tool_mode": "code_mode_only",
}  # fmt: skip


def test_codex_is_told_what_the_upstream_itself_tells_codex() -> None:
    """Under the name that our client uses, in our order; models that only Codex's list has are listed for everybody."""

    async def scenario() -> None:
        catalog = {"models": [NATIVE, {**NATIVE, "slug": "secret"}, {"name": "llama", "slug": 5}, 7]}
        async with Upstream([json_reply({**_list("m"), **catalog})]) as up:
            section = upstream(up.url, "responses", models=["m", "gpt-*"], aliases={"fast": "gpt-x"})
            async with adapter(section) as client:
                answer = (await client.get("/v1/models")).json
                one = (await client.get("/v1/models/gpt-x")).json
        assert [entry["id"] for entry in answer["data"]] == ["m", "gpt-x", "fast"]
        assert one == {"id": "gpt-x", "object": "model", "created": 0, "owned_by": "up"}
        plain, *natives = answer["models"]
        assert plain["context_window"] != NATIVE["context_window"]
        assert natives == [{**NATIVE, "slug": "gpt-x", "priority": 1}, {**NATIVE, "slug": "fast", "priority": 2}]

    play(scenario)


def test_what_an_entry_says_is_null_is_not_there() -> None:
    """One entry without what Codex needs costs it the whole catalog."""

    async def scenario() -> None:
        native = {**NATIVE, "shell_type": None, "base_instructions": None, "description": None}
        async with Upstream([json_reply({"models": [native]})]) as up:
            async with adapter(upstream(up.url, "responses")) as client:
                (told,) = (await client.get("/v1/models")).json["models"]
        assert told["shell_type"] == "unified_exec"
        assert told["base_instructions"]

    play(scenario)


class _ForCodex(Upstream):
    """The second step of its script is for Codex, the first for others."""

    async def _play(self, step: Step, writer: Any, seen: Seen, watching: Any) -> bool:
        mine = self.scripts[0]["client_version" in seen.line]
        return await super()._play(step, writer, seen, watching) if step is mine else True


NONE = json_reply({}, 400)


@pytest.mark.parametrize(
    ("plain", "own", "windows"),
    [
        (json_reply(_list("m", "gpt-x")), json_reply({"models": [NATIVE]}), {"m": 272_000, "gpt-x": 400_000}),
        (NONE, json_reply({"models": [NATIVE]}), {"gpt-x": 400_000}),
        (json_reply(_list("m")), NONE, {"m": 272_000}),
        (json_reply(_list("m")), json_reply(b"<html>"), {"m": 272_000}),
        (NONE, json_reply(b"<html>"), {}),
    ],
)
def test_servers_that_have_a_list_for_codex_alone_are_told_that_it_asks(
    plain: bytes, own: bytes, windows: dict[str, int]
) -> None:
    """As CLIProxyAPI and sub2api; what only their other list has is listed all the same."""

    async def scenario() -> None:
        async with _ForCodex([plain, own]) as up, adapter(upstream(up.url, "responses")) as client:
            for _ in range(2):
                told = (await client.get("/v1/models?client_version=0.171.0")).json["models"]
                assert {one["slug"]: one["context_window"] for one in told} == windows
            asked = sorted(seen.line.split()[1] for seen in up.seen)
            assert asked == ["/v1/models", "/v1/models?client_version=0.171.0"]

    play(scenario)


@pytest.mark.parametrize(
    ("dialect", "query", "lists"),
    [
        ("chat", "client_version=0.171.0", 1),
        ("responses", "client_version=a%20b", 1),
        ("responses", "client_version=", 1),
        ("responses", "a=b&client_version=0.120.0&c=d", 3),
    ],
)
def test_nobody_else_is_told_and_the_list_is_codexs_alone(dialect: str, query: str, lists: int) -> None:
    async def scenario() -> None:
        both = [json_reply(_list("m")), json_reply({"models": [NATIVE]})]
        async with _ForCodex(both) as up, adapter(upstream(up.url, dialect)) as client:
            await client.get(f"/v1/models?{query}")
            answer = await client.get("/v1/models")
            assert [entry["id"] for entry in answer.json["data"]] == ["m"]
            assert len(up.seen) == lists

    play(scenario)


def test_what_the_operator_says_goes_over_it() -> None:
    async def scenario() -> None:
        async with Upstream([json_reply({"models": [NATIVE, {**NATIVE, "slug": "other"}]})]) as up:
            said = [{"models": ["gpt-*"], "context_window": 9000, "namespaces": False}]
            async with adapter(upstream(up.url, "responses", codex=said, window=5000)) as client:
                one, other = (await client.get("/v1/models")).json["models"]
        assert other == {**NATIVE, "slug": "other", "priority": 1}
        assert one == {
            **NATIVE,
            "priority": 0,
            "context_window": 9000,
            "multi_agent_version": "disabled",
            "apply_patch_tool_type": "freeform",
            "supports_search_tool": False,
        }

    play(scenario)


def test_lists_too_large_for_their_room_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each caller's key has one of its own, which may hold Codex's prompts."""
    monkeypatch.setattr("adapter.upstream.models._ROOM", 1000)

    async def scenario() -> None:
        async with Upstream([json_reply(_list("m" * 600))]) as up, adapter(upstream(up.url, "chat")) as client:
            for key in ("sk-1", "sk-1", "sk-2", "sk-1"):
                await client.get("/v1/models", authorization=f"Bearer {key}")
            assert [seen.headers["authorization"][-1] for seen in up.seen] == ["1", "2", "1"]

    play(scenario)


FURTHER = {
    "max_model_len": 32_768,
    "supported_parameters": ["tools"],
    "architecture": {"modality": "text->text", "instruct_type": None},
    "max_tokens": 5,
}


def test_what_the_upstream_says_of_a_model_is_passed_on_but_for_its_secrets() -> None:
    """In the list and by itself, behind what OpenAI says; an alias has its target's."""

    async def scenario() -> None:
        secrets = {"api_key": "k", "apiKey": "k", "X-TOKEN": "t", "meta": {"n_ctx": 7, "a": [{"client_secret": "s"}]}}
        entry = {**FURTHER, **_list("m")["data"][0], "object": "engine", **secrets}
        async with Upstream([json_reply({"data": [entry]})]) as up:
            async with adapter(upstream(up.url, "chat", models=["m", "n"], aliases={"a": "m"})) as client:
                listed = (await client.get("/v1/models")).json["data"]
                one = (await client.get("/v1/models/m")).json
        more = {**FURTHER, "meta": {"n_ctx": 7, "a": [{}]}}
        mine = {"object": "model", "created": 0, "owned_by": "up"}
        assert listed == [{**_list("m")["data"][0], **more}, {"id": "a", **mine, **more}, {"id": "n", **mine}]
        assert list(one)[:4] == ["id", "object", "created", "owned_by"]
        assert one == listed[0]

    play(scenario)


@pytest.mark.parametrize(
    ("more", "passed"), [(b'"' + b"x" * 16_000 + b'"', True), (b'"' + b"x" * 17_000 + b'"', False), (b"[" * 300 + b"]" * 300, False)]
)  # fmt: skip
def test_what_is_too_much_to_say_of_one_model_is_not_passed_on(more: bytes, passed: bool) -> None:
    async def scenario() -> None:
        body = b'{"data": [{"id": "m", "created": 7, "more": ' + more + b"}]}"
        async with Upstream([json_reply(body)]) as up, adapter(upstream(up.url, "chat")) as client:
            (entry,) = (await client.get("/v1/models")).json["data"]
        assert (entry["id"], entry["created"], "more" in entry) == ("m", 7, passed)

    play(scenario)


@pytest.mark.parametrize(
    ("said", "keys", "window"),
    [
        ({"max_model_len": 32_768}, {}, 32_768),
        ({"context_length": 65_536}, {}, 65_536),
        ({"meta": {"n_ctx": 4_096, "n_ctx_train": 131_072}}, {}, 4_096),
        ({"max_model_len": 32_768}, {"window": 16_000}, 16_000),
        ({"max_model_len": "much"}, {}, 272_000),
        ({"context_length": 0}, {}, 272_000),
        ({}, {}, 272_000),
    ],
)
def test_codex_is_told_the_window_that_the_upstream_lists(said: Any, keys: dict[str, Any], window: int) -> None:
    """It compacts at 90 % of it, and what it takes for an unknown model is many times what a small server has."""

    async def scenario() -> None:
        listed = json_reply({"data": [{"id": "m", **said}]})
        async with Upstream([listed]) as up, adapter(upstream(up.url, "chat", **keys)) as client:
            (told,) = (await client.get("/v1/models")).json["models"]
            assert told["context_window"] == window

    play(scenario)


def test_nonsense_from_an_upstream_is_no_model() -> None:
    async def scenario() -> None:
        for nonsense in (b"<html>", b"[1]", b'{"data": [1, {"id": 5}, {"id": ""}]}', DEEP):
            async with Upstream([json_reply(nonsense)]) as up, adapter(upstream(up.url, "chat")) as client:
                answer = await client.get("/v1/models")
                assert (answer.status, answer.json["data"]) == (200, [])

    play(scenario)


@pytest.mark.parametrize(
    ("listing", "why"),
    [
        (Close(), "upstream_unreachable"),
        (json_reply({}, 404), "upstream_error"),
        (json_reply(b"<html>"), "upstream_invalid"),
    ],
)
def test_an_upstream_without_a_list_is_named_in_the_log_once(
    listing: Step, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its clients see no model, and the access line that all is well."""

    async def scenario() -> None:
        async with Upstream([listing]) as up, adapter(upstream(up.url, "chat", "up")) as client:
            for key in ("a", "a"):
                assert (await client.get("/v1/models", authorization=f"Bearer {key}")).json["data"] == []

    play(scenario)
    lines = [loads(line) for line in capfd.readouterr().out.splitlines()]
    told = [(line["upstream"], line["error"]) for line in lines if line["event"] == "models_unlisted"]
    assert told == [("up", why)]
