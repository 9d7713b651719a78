"""Keys, groups and limits on real sockets: who gets in, what is theirs, and that nobody sees what is another's."""

from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapter.access.keys import Key, KeyFile, digest_of
from adapter.access.shared import Shared
from tests.server.compacting import COMPACT, MESSAGES
from tests.server.harness import ASK, PATH, Client, Response, adapter, ask_bytes, play, request_bytes, upstream
from tests.server.scripted import (
    SSE,
    USAGE,
    Script,
    Sleep,
    Stall,
    Upstream,
    chat_reply,
    chat_stream,
    chunk,
    event,
    json_reply,
    response,
    responses_stream,
)

ALICE, ALICE_2, BOB, CAROL = (f"ak-canary-{name}-{'k' * 30}" for name in ("alice", "alice2", "bob", "carol"))
OWN = "sk-canary-of-the-operator-0123456789"
CANARIES = (ALICE, ALICE_2, BOB, CAROL, OWN, "canary-prompt")
GOOD: dict[str, Script] = {"chat": [json_reply(chat_reply())], "responses": [json_reply(response())]}


def key(id: str, secret: str, owner: str, *groups: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "key": secret, "owner": owner, "groups": list(groups), **more}


def group(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, **more}


def access(*groups: dict[str, Any], **more: Any) -> dict[str, Any]:
    keys = [
        key("alice-laptop", ALICE, "alice", "a"),
        key("alice-desk", ALICE_2, "alice", "a"),
        key("bob", BOB, "bob", "b"),
        key("carol", CAROL, "carol", "a", "b"),
    ]
    return {"keys": keys, "groups": list(groups), **more}


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


async def ask(client: Client, secret: str, dialect: str = "chat", **extra: Any) -> Response:
    return await client.ask(dialect, headers=bearer(secret), **extra)


def refused(answer: Response, status: int, code: str | None = None) -> dict[str, Any]:
    assert (answer.status, answer.whole) == (status, True), answer.body
    error: dict[str, Any] = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    if code is not None:
        assert error["code"] == code
    return error


OPEN_TO_ALL = access(group("a"), group("b"))


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("upstream_speaks", ["chat", "responses"])
@pytest.mark.parametrize("how", ["bearer", "bare", "x-api-key", "api-key"])
def test_a_key_opens_and_never_goes_upstream(client_speaks: str, upstream_speaks: str, how: str) -> None:
    carried = bearer(ALICE) if how == "bearer" else {{"bare": "authorization"}.get(how, how).replace("-", "_"): ALICE}

    async def scenario() -> None:
        async with (
            Upstream(GOOD[upstream_speaks]) as up,
            adapter(upstream(up.url, upstream_speaks, api_key=OWN), access=OPEN_TO_ALL) as client,
        ):
            answer = await client.ask(client_speaks, headers=carried | {"openai_organization": "org-of-the-caller"})
            assert answer.status == 200
            assert up.seen[0].headers["authorization"] == f"Bearer {OWN}"
            assert ALICE not in str(up.seen[0].headers) + up.seen[0].body.decode()
            assert "openai-organization" not in up.seen[0].headers

    play(scenario)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/models", "/v1/responses/compact"])
def test_without_a_good_key_nothing_is_read_and_the_answer_says_what_to_send(path: str) -> None:
    async def scenario() -> None:
        async with (
            Upstream(GOOD["chat"]) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=OPEN_TO_ALL) as client,
        ):
            for headers in ({}, bearer("ak-wrong"), bearer(ALICE[:-1])):
                method = "GET" if path.endswith("models") else "POST"
                head = request_bytes(method, path, b"", **headers)
                answer = await client.send(head.replace(b"content-length: 0", b"content-length: 100000"))
                error = refused(answer, 401, "invalid_api_key")
                assert "Authorization: Bearer" in error["message"]
                assert answer.headers["www-authenticate"] == "Bearer"
            assert up.seen == []

    play(scenario)


def test_b12_two_different_credentials_are_refused_and_a_key_in_the_query_is_none() -> None:
    async def scenario() -> None:
        async with (
            Upstream(GOOD["chat"]) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=OPEN_TO_ALL) as client,
        ):
            for other in ("x_api_key", "api_key"):
                refused(await client.ask("chat", headers=bearer(ALICE) | {other: BOB}), 400)
            refused(await client.ask("chat", headers={"x_api_key": ALICE, "api_key": BOB}), 400)
            body = orjson.dumps(ASK["chat"])
            twice = request_bytes(
                "POST", PATH["chat"], body, content_type="application/json", authorization=f"Bearer {ALICE}"
            )
            answer = await client.send(twice.replace(b"host: x", b"host: x\r\nauthorization: Bearer " + BOB.encode()))
            assert answer.status == 400
            refused(await client.post(f"{PATH['chat']}?api_key={ALICE}&key={ALICE}", ASK["chat"]), 401)
            assert up.seen == []

    play(scenario)


def test_b24_a_flood_of_guesses_is_told_to_wait() -> None:
    async def scenario() -> None:
        async with (
            Upstream(GOOD["chat"]) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=OPEN_TO_ALL) as client,
        ):
            statuses = [(await ask(client, f"ak-guess-{n}")).status for n in range(24)]
            assert statuses == [401] * 20 + [429] * 4
            assert (await ask(client, ALICE)).status == 200

    play(scenario)


def test_a_model_outside_the_groups_is_403_and_one_that_nobody_has_404() -> None:
    async def scenario() -> None:
        rules = access(group("a", models=["gpt-*"]), group("b", models=["qwen*"]))
        section = {"api_key": OWN, "models": ["gpt-*", "qwen*"], "aliases": {"fast": "qwen-small"}}
        async with Upstream(GOOD["chat"]) as up, adapter(upstream(up.url, "chat", **section), access=rules) as client:
            assert (await ask(client, ALICE, model="gpt-5")).status == 200
            assert (await ask(client, ALICE, model="up/gpt-5")).status == 200
            for model in ("qwen3", "fast", "up/qwen3"):
                error = refused(await ask(client, ALICE, model=model), 403, "model_not_allowed")
                assert (error["param"], "GET /v1/models" in error["message"]) == ("model", True)
            assert (await ask(client, CAROL, model="qwen3")).status == 200
            error = refused(await ask(client, ALICE, model="claude"), 404, "model_not_found")
            assert "GET /v1/models" in error["message"]

    play(scenario)


def test_a_model_is_listed_where_any_upstream_of_it_is_the_callers_to_use() -> None:
    async def scenario() -> None:
        listed = json_reply({"object": "list", "data": [{"id": "gpt-5"}, {"id": "qwen3"}]})
        rules = access(group("a", models=["gpt-*"], upstreams=["one"]), group("b", models=["qwen*"], upstreams=["two"]))
        async with Upstream([listed]) as up:
            sections = (upstream(up.url, "chat", "one", api_key=OWN), upstream(up.url, "chat", "two", api_key=OWN))
            async with adapter(*sections, access=rules) as client:
                for secret, names in ((ALICE, ["gpt-5"]), (BOB, ["qwen3"]), (CAROL, ["gpt-5", "qwen3"])):
                    found = await client.get("/v1/models", **bearer(secret))
                    assert [model["id"] for model in found.json["data"]] == names

    play(scenario)


def test_a_model_goes_only_to_the_upstreams_of_the_group_that_grants_it_though_another_group_has_more() -> None:
    async def scenario() -> None:
        rules = access(group("a", models=["gpt-*"], upstreams=["one"]), group("b", models=["qwen*"], upstreams=["two"]))
        async with Upstream(GOOD["chat"]) as one, Upstream(GOOD["chat"]) as two:
            sections = (upstream(two.url, "chat", "two", api_key=OWN), upstream(one.url, "chat", "one", api_key=OWN))
            async with adapter(*sections, access=rules) as client:
                assert (await ask(client, CAROL, model="gpt-5")).status == 200
                assert (len(one.seen), len(two.seen)) == (1, 0)
                refused(await ask(client, CAROL, model="two/gpt-5"), 403, "model_not_allowed")

    play(scenario)


def test_404_for_a_misjoined_path_names_the_right_one() -> None:
    async def scenario() -> None:
        async with (
            Upstream(GOOD["chat"]) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=OPEN_TO_ALL) as client,
        ):
            error = refused(await client.post("/api/chat/completions", {}, **bearer(ALICE)), 404)
            assert "/v1/chat/completions" in error["message"]

    play(scenario)


def test_what_is_another_owners_does_not_exist() -> None:
    """Upstreams, models, errors, limits: nothing of Bob's shows in anything that Alice is told."""

    async def scenario() -> None:
        rules = access(
            group("a", upstreams=["shared"], limits={"requests_per_minute": 50}),
            group("b", upstreams=["bobs-*"], limits={"requests_per_minute": 1}),
        )
        mine, his = (
            json_reply(chat_reply(), 200, "x-ratelimit-limit-tokens: 77", "x-codex-primary-used-percent: 42"),
            [json_reply(chat_reply("bob's"))],
        )
        async with Upstream([mine]) as shared, Upstream(his) as secret:
            sections = (
                upstream(shared.url, "chat", "shared", api_key=OWN, models=["m"]),
                upstream(secret.url, "chat", "bobs-box", api_key=OWN, models=["m", "bobs-model"]),
            )
            async with adapter(*sections, access=rules) as client:
                assert (await ask(client, BOB, model="bobs-model")).json["choices"][0]["message"]["content"] == "bob's"
                refused(await ask(client, BOB), 429, "rate_limit_exceeded")
                told: list[Response] = []
                for _ in range(5):
                    told.append(await ask(client, ALICE))
                    assert told[-1].status == 200
                assert told[-1].headers["x-ratelimit-remaining-requests"] == "45"
                assert "x-ratelimit-limit-tokens" not in told[-1].headers, "those of the operator's account"
                assert all("x-codex-primary-used-percent" not in answer.headers for answer in told)
                told.append(await ask(client, ALICE, model="bobs-model"))
                told.append(await ask(client, ALICE, provider="bobs-box"))
                told.append(await ask(client, ALICE, provider="no-such"))
                told.append(await ask(client, ALICE, model="bobs-box/m"))
                told.append(await client.get("/v1/models", **bearer(ALICE)))
                told.append(await client.get("/v1/models/bobs-model", **bearer(ALICE)))
                assert [answer.status for answer in told[5:]] == [404, 400, 400, 404, 200, 404]
                assert told[6].json == told[7].json, "an upstream that is not yours and one that is not there"
                for answer in told:
                    seen = (answer.body + str(answer.headers).encode()).replace(b"bobs-model", b"", 1)
                    assert b"bobs" not in seen
                assert len(secret.seen) == 1
                assert [m["id"] for m in told[9].json["data"]] == ["m"]

    play(scenario)


def test_a_key_made_revoked_and_rotated_while_the_server_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = KeyFile(tmp_path / "keys.toml")
        file.add(Key("dave", digest_of("ak-of-dave"), "dave", ("a",)))
        rules = access(group("a"), group("b"), keys_file=str(file.path))
        async with Upstream(GOOD["chat"]) as up, adapter(upstream(up.url, "chat", api_key=OWN), access=rules) as client:
            assert (await ask(client, "ak-of-dave")).status == 200
            file.rotate("dave", digest_of("ak-new"), 0)
            await asyncio.sleep(1.1)
            assert [(await ask(client, secret)).status for secret in ("ak-of-dave", "ak-new")] == [401, 200]
            file.revoke("dave")
            await asyncio.sleep(1.1)
            assert [(await ask(client, secret)).status for secret in ("ak-new", ALICE)] == [401, 200]

    play(scenario)


# ---------------------------------------------------------------------------------------------------------- limits


def limited(**limits: Any) -> dict[str, Any]:
    return access(group("a", **limits), group("b"))


def test_requests_are_limited_for_a_group_an_owner_and_a_key() -> None:
    async def count(rules: dict[str, Any], *secrets: str) -> list[int]:
        async with Upstream(GOOD["chat"]) as up, adapter(upstream(up.url, "chat", api_key=OWN), access=rules) as client:
            return [(await ask(client, secret)).status for secret in secrets]

    async def scenario() -> None:
        both = (ALICE, ALICE_2, CAROL, ALICE)
        two = {"requests_per_minute": 2}
        assert await count(limited(limits=two), *both) == [200, 200, 429, 429]
        assert await count(limited(owner_limits=two), *both) == [200, 200, 200, 429]
        assert await count(limited(key_limits=two), *both) == [200, 200, 200, 200]
        assert await count(limited(key_limits={"requests_per_minute": 1}), *both) == [200, 200, 200, 429]

    play(scenario)


def test_a_429_of_ours_says_what_and_when_and_has_the_apis_fields() -> None:
    async def scenario() -> None:
        rules = limited(key_limits={"requests_per_minute": 1, "tokens_per_day": 5000})
        async with Upstream(GOOD["chat"]) as up, adapter(upstream(up.url, "chat", api_key=OWN), access=rules) as client:
            first = await ask(client, ALICE, max_tokens=100)
            assert first.headers["x-ratelimit-limit-requests"] == "1"
            assert first.headers["x-ratelimit-remaining-requests"] == "0"
            assert 4800 < int(first.headers["x-ratelimit-remaining-tokens"]) < 4900
            second = await ask(client, ALICE)
            error = refused(second, 429, "rate_limit_exceeded")
            assert (error["type"], "1 requests per minute" in error["message"]) == ("requests", True)
            assert 1 <= int(second.headers["retry-after"]) <= 60
            assert second.headers["x-ratelimit-remaining-requests"] == "0"
            assert int(second.headers["x-ratelimit-remaining-tokens"]) == 4995, "the first one cost five"
            assert len(up.seen) == 1

    play(scenario)


@pytest.mark.parametrize("version", ["0.120.0", "0.171.0"])
def test_a_codex_is_told_once_of_a_request_that_no_wait_makes_fit(version: str) -> None:
    """After a 429 it would come again, or say that it has come too often; it shows what a 400 says."""

    async def scenario() -> None:
        rules = limited(key_limits={"tokens_per_day": 50})
        async with adapter(upstream("http://127.0.0.1:9/v1", "chat", api_key=OWN), access=rules) as client:
            agent = {"originator": "codex_exec", "user-agent": f"codex_exec/{version} (Debian)"}
            headers = {"authorization": f"Bearer {ALICE}", **agent}
            answer = await client.ask("responses", stream=True, input="x" * 1000, headers=headers)
            error = refused(answer, 400, "rate_limit_exceeded")
            assert "make it smaller" in error["message"]
            assert "retry-after" not in answer.headers

    play(scenario)


async def remaining(client: Client, secret: str = ALICE) -> int:
    """Tokens left for today, by asking for more than there can be."""
    answer = await ask(client, secret, messages=[{"role": "user", "content": "x" * 100_000}])
    assert answer.status == 429, answer.body
    assert answer.headers["x-should-retry"] == "false"
    return int(answer.headers["x-ratelimit-remaining-tokens"])


DAY = limited(owner_limits={"tokens_per_day": 10_000})


@pytest.mark.parametrize("client_speaks", ["chat", "responses"])
@pytest.mark.parametrize("upstream_speaks", ["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_settled_by_what_was_really_used(client_speaks: str, upstream_speaks: str, stream: bool) -> None:
    good = {"chat": chat_stream("Hello"), "responses": responses_stream()} if stream else GOOD

    async def scenario() -> None:
        async with (
            Upstream(good[upstream_speaks]) as up,
            adapter(upstream(up.url, upstream_speaks, api_key=OWN), access=DAY) as client,
        ):
            assert (await ask(client, ALICE, client_speaks, stream=stream)).status == 200
            assert await remaining(client) == 10_000 - 5

    play(scenario)


def test_a_refused_request_costs_nothing_and_usage_that_nobody_reports_is_estimated() -> None:
    async def scenario() -> None:
        plain = {key: value for key, value in chat_reply("x" * 400).items() if key != "usage"}
        scripts: list[Script] = [[json_reply({"error": {"message": "no"}}, 400)], [json_reply(plain)]]
        async with Upstream(*scripts) as up, adapter(upstream(up.url, "chat", api_key=OWN), access=DAY) as client:
            assert (await ask(client, ALICE)).status == 400
            assert await remaining(client) == 10_000
            assert (await ask(client, ALICE)).status == 200
            assert 100 < 10_000 - await remaining(client) < 250

    play(scenario)


@pytest.mark.parametrize(
    ("path", "body", "cost"),
    [
        (COMPACT, {"input": [{"role": "user", "content": "long " * 1500}] * 2}, 5),
        (COMPACT, {"messages": MESSAGES}, 5),
    ],
    ids=["the summary of the second half fails", "the answer to the shortened conversation fails"],
)
def test_a_compaction_that_fails_half_way_costs_what_was_spent(path: str, body: dict[str, Any], cost: int) -> None:
    async def scenario() -> None:
        failing: Script = [json_reply({"error": {"message": "no"}}, 400)]
        async with (
            Upstream(chat_stream("summary"), failing) as up,
            adapter(upstream(up.url, "chat", api_key=OWN, window=4_000), access=DAY) as client,
        ):
            found = await client.post(path, {"model": "m", **body}, authorization=f"Bearer {ALICE}")
            assert (found.status, len(up.seen)) == (400, 2), found.body
            assert await remaining(client) == 10_000 - cost

    play(scenario)


@pytest.mark.parametrize("upstream_speaks", ["chat", "responses"])
def test_b29_a_client_that_leaves_in_the_middle_pays_for_what_it_had(upstream_speaks: str) -> None:
    text = chunk({"content": "word "}) if upstream_speaks == "chat" else None
    opening = [SSE, event(chunk({"role": "assistant", "content": ""}))]
    if upstream_speaks == "responses":
        script: Script = [*responses_stream()[:5], *[responses_stream()[5]] * 40, Stall()]
    else:
        script = [*opening, *[event(text)] * 40, Stall()]

    async def scenario() -> None:
        async with (
            Upstream(script) as up,
            adapter(upstream(up.url, upstream_speaks, api_key=OWN), access=DAY) as client,
        ):
            asked = ask_bytes("chat", stream=True).replace(
                b"host: x", f"host: x\r\nauthorization: Bearer {ALICE}".encode()
            )
            reader, writer = await client.open(asked)
            await reader.readuntil(b"word " if upstream_speaks == "chat" else b"Hello")
            await asyncio.sleep(0.2)
            writer.close()
            await asyncio.wait_for(up.seen[0].finished.wait(), 3)
            await asyncio.sleep(0.1)
            cost = 10_000 - await remaining(client)
            assert 40 < cost < 120, cost

    play(scenario)


def test_streams_are_counted_while_they_run() -> None:
    slow: Script = [SSE, event(chunk({"role": "assistant", "content": "Hel"})), Sleep(0.5), *chat_stream("lo")[2:]]

    async def scenario() -> None:
        rules = limited(owner_limits={"streams": 2})
        async with Upstream(slow) as up, adapter(upstream(up.url, "chat", api_key=OWN), access=rules) as client:
            running = [asyncio.ensure_future(ask(client, secret, stream=True)) for secret in (ALICE, ALICE_2)]
            await asyncio.sleep(0.2)
            third = await ask(client, ALICE, stream=True)
            assert "2 answers at the same time" in refused(third, 429)["message"]
            assert third.headers["retry-after"] == "1"
            assert (await ask(client, CAROL, stream=True)).status == 200
            assert [answer.status for answer in await asyncio.gather(*running)] == [200, 200]
            assert (await ask(client, ALICE, stream=True)).status == 200
            assert USAGE["total_tokens"] == 5

    play(scenario)


def test_two_replicas_share_their_limits_over_redis(redis_url: str) -> None:
    async def scenario() -> None:
        rules = limited(limits={"requests_per_minute": 30}) | {"limits": {"storage": redis_url}}
        rules["groups"][0]["name"] = "a"
        async with Upstream(GOOD["chat"]) as up:
            section = upstream(up.url, "chat", api_key=OWN)
            async with adapter(section, access=rules) as one, adapter(section, access=rules) as two:
                asked = [ask(client, ALICE) for client in (one, two) for _ in range(40)]
                statuses = [answer.status for answer in await asyncio.gather(*asked)]
        assert (statuses.count(200), statuses.count(429), len(up.seen)) == (30, 50, 30)

    play(scenario)


def test_what_an_answer_cost_is_booked_by_a_process_that_stops(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settle = Shared._settle

    async def slow(self: Shared, *settled: Any) -> None:
        await asyncio.sleep(0.2)
        await settle(self, *settled)

    monkeypatch.setattr(Shared, "_settle", slow)

    async def scenario() -> None:
        rules = limited(owner_limits={"tokens_per_day": 9_000}) | {"limits": {"storage": redis_url}}
        async with Upstream(GOOD["chat"]) as up:
            section = upstream(up.url, "chat", api_key=OWN)
            async with adapter(section, access=rules) as client:
                before = await remaining(client)
                assert (await ask(client, ALICE, max_completion_tokens=4_000)).status == 200
            async with adapter(section, access=rules) as client:
                assert await remaining(client) == before - 5

    play(scenario)


@pytest.mark.parametrize(("policy", "status"), [("refuse", 503), ("allow", 200)])
def test_limits_whose_store_is_away_refuse_or_pass_as_the_operator_says(policy: str, status: int) -> None:
    async def scenario() -> None:
        rules = limited(limits={"streams": 3}) | {"limits": {"storage": "redis://127.0.0.1:1", "unavailable": policy}}
        async with Upstream(GOOD["chat"]) as up, adapter(upstream(up.url, "chat", api_key=OWN), access=rules) as client:
            answer = await ask(client, ALICE)
            assert answer.status == status, answer.body
            if status == 503:
                assert refused(answer, 503, "limits_unavailable")
                assert answer.headers["retry-after"] == "1"

    play(scenario)


# ------------------------------------------------------------------------------------------- seen from outside


def test_b25_no_key_and_no_prompt_in_logs_errors_or_metrics(capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        leaking = {
            "error": {"message": f"Incorrect API key provided: {OWN}. org-canary-1234", "code": "invalid_api_key"}
        }
        scripts: list[Script] = [
            [json_reply(leaking, 401)],
            [json_reply(leaking, 500)],
            [json_reply({"error": leaking})],
        ]
        rules = OPEN_TO_ALL | {"metrics": {"port": 0}}
        async with Upstream(*scripts, GOOD["chat"]) as up:
            from adapter.telemetry import metrics

            listeners: list[Any] = []
            made = metrics.Listener.__init__

            def noted(self: Any, *args: Any) -> None:
                made(self, *args)
                listeners.append(self)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(metrics.Listener, "__init__", noted)
                async with adapter(upstream(up.url, "chat", api_key=OWN), access=rules) as client:
                    answers = [
                        await ask(client, ALICE, dialect, messages=[{"role": "user", "content": "canary-prompt"}])
                        if dialect == "chat"
                        else await ask(client, BOB, dialect, input="canary-prompt")
                        for dialect in ("chat", "responses", "chat", "responses", "chat")
                    ]
                    answers.append(await ask(client, BOB, nonsense="canary-prompt", model=CAROL))
                    answers.append(await ask(client, CAROL + "x"))
                    url = f"http://127.0.0.1:{listeners[0].port}/metrics"
                    scraped = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
        told = b"".join(answer.body + str(answer.headers).encode() for answer in answers).decode()
        log = "".join(capfd.readouterr())
        assert "adapter_requests_total" in scraped
        assert "alice-laptop" in log
        for canary in (*CANARIES, "org-canary"):
            assert canary not in scraped
            assert canary not in log.replace(f'"model":"{CAROL}"', "")
            assert canary not in told

    play(scenario)


def test_metrics_have_their_names_and_labels_from_the_configuration_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        from prometheus_client import REGISTRY

        from adapter.telemetry import metrics

        made: list[Any] = []
        with pytest.MonkeyPatch.context() as patch:
            init = metrics.Meters.__init__

            def noted(self: Any, registry: Any) -> None:
                init(self, registry)
                made.append(registry)

            patch.setattr(metrics.Meters, "__init__", noted)
            async with Upstream(chat_stream("Hello")) as up:
                rules = limited(limits={"requests_per_minute": 2}) | {"metrics": {"port": 0}}
                store = {"mode": "client", "url": f"sqlite:///{tmp_path}/store.db"}
                async with adapter(upstream(up.url, "chat", api_key=OWN), access=rules, store=store) as client:
                    told = [
                        await ask(client, ALICE, stream=True, model=f"client-chosen-{number}", user=f"user-{number}")
                        for number in range(3)
                    ]
                    await ask(client, BOB, "responses", stream=True, unknown_thing=1)
                    assert (await client.ask("chat")).status == 401
                samples = [sample for family in made[0].collect() for sample in family.samples]
                found = {sample.name: sample for sample in samples}
        assert REGISTRY is not made[0]
        for name in (
            "adapter_requests_total",
            "adapter_request_duration_seconds_count",
            "adapter_overhead_seconds_count",
            "adapter_time_to_first_event_seconds_count",
            "adapter_inflight",
            "adapter_stream_events_total",
            "adapter_upstream_attempts_total",
            "adapter_conversion_losses_total",
            "adapter_tokens_total",
            "adapter_limited_total",
            "adapter_loop_lag_seconds_count",
            "adapter_store_seconds_count",
            "adapter_stored_total",
        ):
            assert name in found, name
        assert not [sample for sample in samples if "client-chosen" in str(sample) or "user-" in str(sample)]
        by = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}
        chat_ok = (("outcome", "ok"), ("route", "up"), ("surface", "chat"))
        assert by["adapter_requests_total", chat_ok] == 2
        assert by["adapter_requests_total", (("outcome", "refused"), ("route", "none"), ("surface", "chat"))] == 1
        assert by["adapter_upstream_attempts_total", (("outcome", "ok"), ("upstream", "up"))] == 3
        assert by["adapter_tokens_total", (("kind", "input"),)] == 9
        events = sum(len(answer.events) for answer in told if answer.status == 200)
        assert by["adapter_stream_events_total", (("surface", "chat"),)] == events
        assert by["adapter_inflight", ()] == 0
        times = {s.name: s.value for s in samples if s.name.endswith("_seconds_sum")}
        assert len(times) == 5
        assert all(0 <= taken < 20 for taken in times.values()), times

    play(scenario)


def test_what_is_of_no_api_is_counted_as_such(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who lists models, or tries paths, is no part of how the requests to an API end."""
    from adapter.telemetry import metrics

    made: list[Any] = []
    init = metrics.Meters.__init__

    def noted(self: Any, registry: Any) -> None:
        init(self, registry)
        made.append(registry)

    monkeypatch.setattr(metrics.Meters, "__init__", noted)

    async def scenario() -> None:
        async with (
            Upstream([json_reply({"data": []})]) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access={"metrics": {"port": 0}}) as client,
        ):
            assert (await client.get("/v1/models")).status == 200
            assert (await client.get("/v1/models/nobody")).status == 404
            assert (await client.get("/wp-login.php")).status == 404
            assert (await client.get("/v1/chat/completions")).status == 405
            assert (await client.get("/v1/responses")).status == 405
            counted = [sample for family in made[0].collect() for sample in family.samples]
            assert {
                (sample.labels["surface"], sample.labels["outcome"]): sample.value
                for sample in counted
                if sample.name == "adapter_requests_total"
            } == {("models", "ok"): 1, ("models", "refused"): 1, ("none", "refused"): 3}
            assert {s.labels["surface"] for s in counted if "surface" in s.labels} == {"models", "none"}

    play(scenario)
    lines = [orjson.loads(text) for text in capfd.readouterr().out.splitlines() if '"event":"request"' in text]
    assert [line["surface"] for line in lines] == ["models", "models", "none", "none", "none"]


def test_the_access_line_says_who_what_where_and_how_it_ended(capfd: pytest.CaptureFixture[str]) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    async def scenario() -> None:
        async with (
            Upstream(chat_stream("Hello")) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=OPEN_TO_ALL) as client,
        ):
            headers = bearer(ALICE) | {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "x_request_id": "mine-1"}
            answer = await client.ask("responses", stream=True, headers=headers)
            assert answer.headers["x-request-id"] == "mine-1"
            assert up.seen[0].headers["traceparent"].split("-")[1] == trace
            assert (await client.ask("chat", headers=bearer("ak-no"))).status == 401
            assert (await client.ask("chat", headers={"x_request_id": "bad id!"})).headers["x-request-id"] != "bad id!"

    play(scenario)
    lines = [orjson.loads(text) for text in capfd.readouterr().out.splitlines() if '"event":"request"' in text]
    first, second = lines[:2]
    assert {
        "request_id": "mine-1",
        "key_id": "alice-laptop",
        "owner": "alice",
        "surface": "responses",
        "model": "m",
        "upstream": "up",
        "lane": "hub",
        "status": 200,
        "outcome": "ok",
        "phase": "end",
        "trace_id": trace,
        "tokens_in": 3,
        "tokens_out": 2,
    }.items() <= first.items()
    assert 0 < first["first_event_ms"] <= first["ms"] < 20_000
    assert (second["status"], second["outcome"], second["phase"], second["blame"]) == (
        401,
        "refused",
        "request",
        "client",
    )
    assert second["key_id"] is None


@pytest.mark.parametrize(
    ("method", "path", "status", "outcome"),
    [
        ("GET", "/v1/models", 200, "ok"),
        ("GET", "/v1/models/nobody-has-it", 404, "refused"),
        ("POST", "/v1/openai/chat/completions", 404, "refused"),
        ("GET", "/v1/responses", 405, "refused"),
    ],
)
def test_a_request_that_asks_no_model_has_its_line_too(
    method: str, path: str, status: int, outcome: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with (
            Upstream([json_reply({"data": [{"id": "m"}]})]) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=OPEN_TO_ALL) as client,
        ):
            fields = bearer(ALICE) | {"x_request_id": "mine-1"}
            assert (await client.request(method, path, **fields)).status == status

    play(scenario)
    lines = [orjson.loads(text) for text in capfd.readouterr().out.splitlines() if '"event":"request"' in text]
    assert [(line["request_id"], line["status"], line["outcome"]) for line in lines] == [("mine-1", status, outcome)]


def test_whose_limit_it_was_that_refused_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        rules = limited(key_limits={"requests_per_minute": 1})
        busy = [json_reply({"error": {"message": "slow down"}}, 429, "retry-after: 60")]
        async with (
            Upstream(GOOD["chat"], busy) as up,
            adapter(upstream(up.url, "chat", api_key=OWN), access=rules) as client,
        ):
            asked = [await ask(client, secret) for secret in (ALICE, ALICE, CAROL, ALICE_2)]
            assert [answer.status for answer in asked] == [200, 429, 429, 429]
            assert len(up.seen) == 2  # it rests then

    play(scenario)
    lines = [orjson.loads(text) for text in capfd.readouterr().out.splitlines() if '"event":"request"' in text]
    assert [line.get("blame") for line in lines] == [None, "client", "upstream", "upstream"]


@pytest.mark.parametrize("store", [{"mode": "off"}, None], ids=["no store", "store"])
@pytest.mark.parametrize("several", [True, False], ids=["callers with keys", "one caller"])
def test_an_id_that_is_unknown_here_may_be_the_upstreams_only_where_nobody_shares_its_key(
    several: bool, store: dict[str, Any] | None, tmp_path: Path
) -> None:
    async def scenario() -> None:
        kept = store or {"url": f"sqlite:///{tmp_path / 'store.db'}"}
        async with (
            Upstream(GOOD["responses"]) as up,
            adapter(
                upstream(up.url, "responses", profile="openai", api_key=OWN),
                access=access(group("a"), group("b")) if several else None,
                store=kept,
            ) as client,
        ):
            found = await ask(client, ALICE, "responses", previous_response_id="resp_of_somebody")
            if several:
                assert (found.status, found.json["error"]["code"]) == (400, "previous_response_not_found")
                assert up.seen == []
            else:
                assert found.status == 200
                assert up.seen[0].json["previous_response_id"] == "resp_of_somebody"

    play(scenario)
