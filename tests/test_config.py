"""The configuration: every mistake is one line that names the key."""

from __future__ import annotations

import errno
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from adapter.access.keys import digest_of
from adapter.compaction.options import Options
from adapter.compaction.sealing import Kind
from adapter.config import load
from adapter.errors import ConfigError
from adapter.sections import Server, Settings, Upstream
from adapter.upstream import router
from tests.configuring import loaded

GOOD = """
[server]
port = 9000
losses = "reject"

[[upstreams]]
name = "local"
base_url = "http://127.0.0.1:8000/v1/"
dialect = "chat"
api_key = "$UPSTREAM_KEY"
profile = "vllm"
models = ["qwen*"]
aliases = { "gpt-5.5" = "qwen3-coder" }
[upstreams.capabilities]
late_system = "keep"
"""


def _load(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "adapter.toml"
    file.write_text(text, "utf-8")
    return load(file)


def test_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "sk-1")
    settings = _load(tmp_path, GOOD)
    (upstream,) = settings.upstreams
    assert (settings.server.port, settings.server.losses, settings.server.host) == (9000, "reject", "127.0.0.1")
    assert upstream.base_url == "http://127.0.0.1:8000/v1"
    assert upstream.api_key is not None
    assert upstream.api_key.get_secret_value() == "sk-1"
    assert upstream.resolved_profile().late_system == "keep"
    assert upstream.aliases == {"gpt-5.5": "qwen3-coder"}


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTER_SERVER__PORT", "9001")
    monkeypatch.setenv("ADAPTER_SERVER__COMMIT_AFTER", "1.5")
    file = tmp_path / "adapter.toml"
    file.write_text("[server]\nport = 1\nworkers = 2\n")
    assert (load(file).server.port, load(file).server.commit_after, load(file).server.workers) == (9001, 1.5, 2)
    assert load(file, {"port": 7}).server.port == 7
    assert load(file, {"port": 7}).server.commit_after == 1.5


def test_what_the_command_line_alone_says_needs_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pydantic's import would be a third of the start."""
    upstream = Upstream("up", "http://127.0.0.1:1/v1/", "chat")
    reading: list[Callable[[], Settings]] = []

    def elsewhere(work: Callable[[], Settings]) -> Settings:
        reading.append(work)
        return work()

    said = {"port": 7, "workers": 2}
    settings = load(None, said, (upstream,), elsewhere)
    assert not reading
    assert settings == loaded(
        server=said, upstreams=[{"name": "up", "base_url": "http://127.0.0.1:1/v1", "dialect": "chat"}]
    )
    monkeypatch.setenv("adapter_server__host", "::1")  # as the reader takes it
    settings = load(None, said, (upstream,), elsewhere)
    assert len(reading) == 1
    assert settings.server == Server(host="::1", port=7, workers=2)


def test_an_array_from_the_environment_replaces_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "sk-1")
    other = [{"name": "other", "base_url": "https://x.example/v1", "dialect": "responses", "api_key": "none"}]
    monkeypatch.setenv("ADAPTER_UPSTREAMS", json.dumps(other))
    assert [upstream.name for upstream in _load(tmp_path, GOOD).upstreams] == ["other"]


@pytest.mark.parametrize(("written", "kept"), [("", None), ('api_key = "client"', None), ('api_key = "none"', "")])
def test_whose_key_goes_upstream(tmp_path: Path, written: str, kept: str | None) -> None:
    text = f'[[upstreams]]\nname = "a"\nbase_url = "http://h"\ndialect = "chat"\n{written}\n'
    key = _load(tmp_path, text).upstreams[0].api_key
    assert (key if key is None else key.get_secret_value()) == kept


def test_an_empty_variable_names_nobody_who_summarises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTER_COMPACTION__MODEL", "")
    assert Options.of(loaded().compaction).model is None


def test_every_secret_may_stand_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "ak-" + "s" * 40
    for name, value in {"ONE": "sk-1", "TWO": "sk-2", "MINE": secret, "LIMITS": "redis://h/1"}.items():
        monkeypatch.setenv(name, value)
    settings = _load(
        tmp_path,
        UPSTREAM + 'api_keys = ["$ONE", "${TWO}"]\n[[keys]]\nid = "k"\nkey = "$MINE"\nowner = "o"\n'
        '[limits]\nstorage = "$LIMITS"\n',
    )
    assert [key.get_secret_value() for key in settings.upstreams[0].api_keys] == ["sk-1", "sk-2"]
    assert settings.keys[0].sha256 == digest_of(secret)
    assert settings.limits.url == "redis://h/1"


def test_every_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """As Docker, Kubernetes and systemd hand them over."""
    secret = "ak-" + "s" * 40
    for name, value in {"one": "sk-1\n", "two": "sk-2\r\n", "mine": secret, "limits": "redis://h/1\n"}.items():
        (tmp_path / name).write_text(value)
    settings = _load(
        tmp_path,
        UPSTREAM + f'api_keys = ["file:{tmp_path}/one", "file:{tmp_path}/two"]\n'
        f'[[keys]]\nid = "k"\nkey = "file:{tmp_path}/mine"\nowner = "o"\n[limits]\nstorage = "file:{tmp_path}/limits"\n',
    )
    assert [key.get_secret_value() for key in settings.upstreams[0].api_keys] == ["sk-1", "sk-2"]
    assert settings.keys[0].sha256 == digest_of(secret)
    assert settings.limits.url == "redis://h/1"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (
            "https://r.example/openai/deployments/d/?api-version=1&k=a/",
            "https://r.example/openai/deployments/d?api-version=1&k=a/",
        ),
        ("http://h/v1?", "http://h/v1"),
    ],
)
def test_a_base_url_keeps_its_query_and_may_be_a_secret(
    tmp_path: Path, written: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_URL", written)
    for said in (written, "$UPSTREAM_URL"):
        assert _load(tmp_path, UPSTREAM.replace("http://h/v1", said)).upstreams[0].base_url == kept


@pytest.mark.parametrize("written", ["http://10.0.0.1:3128", "http://u:p%40@proxy.example:3128/", "https://[::1]:3129"])
def test_a_proxy_may_be_that_of_the_environment(tmp_path: Path, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", written)
    for said in (written, "$HTTPS_PROXY"):
        settings = _load(tmp_path, UPSTREAM + f'proxy = "{said}"\n')
        (upstream,) = settings.upstreams
        assert upstream.proxy is not None
        assert upstream.proxy.get_secret_value() == written
        assert written not in repr(settings)
        assert written not in repr(router.Upstream.of(upstream))
    assert _load(tmp_path, UPSTREAM).upstreams[0].proxy is None


@pytest.mark.parametrize(
    ("held", "says"), [(None, "No such file"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff", "no text")]
)
def test_a_file_without_a_secret_is_told_by_its_key_and_name(tmp_path: Path, held: bytes | None, says: str) -> None:
    path = tmp_path / "secret"
    if held is not None:
        path.write_bytes(held)
    with pytest.raises(ConfigError, match=rf"^upstreams\.a\.api_key: {path}: {says}"):
        _load(tmp_path, UPSTREAM + f'api_key = "file:{path}"\n')


@pytest.mark.parametrize(("host", "alone"), [("[::1]", True), ("127.0.0.2", True), ("::", False), ("box", False)])
def test_only_a_listener_of_this_machine_alone_needs_no_keys(tmp_path: Path, host: str, alone: bool) -> None:
    text = f'[server]\nhost = "{host}"\n' + UPSTREAM
    if alone:
        assert _load(tmp_path, text).server.host == host
    else:
        with pytest.raises(ConfigError, match="other machines"):
            _load(tmp_path, text)


@pytest.mark.parametrize("limits", ["limits", "owner_limits", "key_limits"])
def test_limits_that_each_of_several_workers_would_count_for_itself_are_refused(tmp_path: Path, limits: str) -> None:
    text = UPSTREAM + f'[[groups]]\nname = "default"\n{limits} = {{ streams = 1 }}\n[server]\nworkers = '
    assert _load(tmp_path, text + "1\n").server.workers == 1
    with pytest.raises(ConfigError, match="each count for themselves"):
        _load(tmp_path, text + "2\n")


def test_compaction_and_sealing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAL", "A" * 43 + "=")
    (tmp_path / "prompt.md").write_text("Sum up.\n")
    text = (
        f'[compaction]\nreply = "gomodel"\nreplies = {{ "gpt-*" = "response" }}\nprompt = "{tmp_path}/prompt.md"\n'
        'window = 1000\n[sealing]\nkeys = ["$SEAL"]\n' + UPSTREAM + 'compact = "response"\nwindow = 9\n'
    )
    settings = _load(tmp_path, text)
    options = Options.of(settings.compaction)
    assert (options.reply_for("gpt-5.5"), options.reply_for("qwen")) == ("response", "gomodel")
    assert (options.instructions, options.window) == ("Sum up.", 1000)
    assert (settings.upstreams[0].compact, settings.upstreams[0].window) == ("response", 9)
    assert settings.sealing.ring().seal(b"x", kind=Kind.SUMMARY, tenant="t").startswith("adapter:1:summary:")
    assert "AAAA" not in repr(settings)
    assert pickle.loads(pickle.dumps(settings)) == settings


UPSTREAM = '[[upstreams]]\nname = "a"\nbase_url = "http://h/v1"\ndialect = "chat"\n'
BAD = {
    "an_unknown_section": ("[servr]\n", "servr", "did you mean 'server'"),
    "a_section_in_capitals": ("[SERVER]\n", "SERVER", "did you mean 'server'"),
    "an_unknown_key": ("[server]\nprot = 1\n", "server.prot", "did you mean 'port'"),
    "an_unknown_upstream_key": (UPSTREAM + 'modles = ["x"]\n', "upstreams[0].modles", "did you mean 'models'"),
    "an_unknown_capability": (
        UPSTREAM + "[upstreams.capabilities]\nimage = true\n",
        "upstreams.a",
        "did you mean 'images'",
    ),
    "an_unknown_profile": (UPSTREAM + 'profile = "vlm"\n', "upstreams.a", "did you mean 'vllm'"),
    "a_wrong_type": ("[server]\nport = 'many'\n", "server.port", "integer"),
    "a_wrong_word": ("[server]\nlosses = 'hide'\n", "server.losses", "'report'"),
    "a_port_out_of_range": ("[server]\nport = 70000\n", "server.port", "65535"),
    "a_missing_dialect": ('[[upstreams]]\nname = "a"\nbase_url = "http://h"\n', "upstreams[0].dialect", "required"),
    "a_wrong_dialect": (UPSTREAM.replace('"chat"', '"grpc"'), "upstreams[0].dialect", "'chat'"),
    "another_scheme": (UPSTREAM.replace("http://", "ftp://"), "upstreams.a.base_url", "http://"),
    "an_empty_key": (UPSTREAM + 'api_key = ""\n', "upstreams.a.api_key", "not a key"),
    "no_scheme": (UPSTREAM.replace("http://h/v1", "h:80"), "upstreams.a.base_url", "http://"),
    "a_path_too_long": (UPSTREAM.replace("h/v1", "h/v1/responses"), "upstreams.a.base_url", "/responses"),
    "a_key_in_the_url": (UPSTREAM.replace("http://", "http://u:CANARY@"), "upstreams.a.base_url", "api_key"),
    "a_path_too_long_before_a_query": (
        UPSTREAM.replace("h/v1", "h/openai/deployments/m/chat/completions?api-version=1"),
        "upstreams.a.base_url",
        "/chat/completions",
    ),
    "a_url_that_is_no_secret": (
        UPSTREAM.replace("http://h/v1", "$NOT_SET_HERE"),
        "upstreams.a.base_url",
        "NOT_SET_HERE",
    ),
    **{
        f"a_header_{name}": (UPSTREAM + f"[upstreams.headers]\n{line}\n", f"upstreams.a.headers.{where}", hint)
        for name, line, where, hint in (
            ("of_the_connection", 'Transfer-Encoding = "CANARY"', "Transfer-Encoding", "this server itself"),
            ("of_this_request", 'x-request-id = "CANARY"', "x-request-id", "this server itself"),
            ("of_no_name", '"a b" = "CANARY"', "a b", "not a header field"),
            ("of_two_lines", 'X-A = "CANARY\\nX-B: c"', "X-A", "not a header field"),
            ("of_nothing", 'X-A = ""', "X-A", "not a header field"),
            ("in_cyrillic", 'X-A = "\\u0416 CANARY"', "X-A", "not a header field"),
            ("from_nowhere", 'X-A = "$NOT_SET_HERE"', "X-A", "NOT_SET_HERE"),
            ("beside_the_clients_key", 'Authorization = "Basic CANARY"', "Authorization", 'api_key = "none"'),
        )
    },
    "a_header_beside_a_key": (
        UPSTREAM + 'api_key = "k"\n[upstreams.headers]\nauthorization = "Basic CANARY"\n',
        "upstreams.a.headers.authorization",
        'api_key = "none"',
    ),
    "a_header_twice": (
        UPSTREAM + '[upstreams.headers]\nX-A = "CANARY"\nx-a = "CANARY"\n',
        "upstreams.a.headers",
        "twice",
    ),
    "a_body_of_the_clients": (
        UPSTREAM + "[upstreams.extra_body]\nstream = true\n",
        "upstreams.a.extra_body.stream",
        "clients",
    ),
    "a_body_that_is_no_json": (
        UPSTREAM + "[upstreams.extra_body]\nx = { y = 2026-11-27 }\n",
        "upstreams.a.extra_body",
        "JSON",
    ),
    "a_body_without_end": (UPSTREAM + "[upstreams.extra_body]\nx = inf\n", "upstreams.a.extra_body", "JSON"),
    **{
        f"an_origin_{name}": (f'[server]\ncors_origins = ["{origin}"]\n', "server.cors_origins", "is no origin")
        for name, origin in (
            ("with_a_slash", "https://a.example/"),
            ("of_no_scheme", "a.example"),
            ("of_many", "https://*.a"),
        )
    },
    "a_pattern_for_a_model": (
        UPSTREAM + 'aliases = { "gpt-*" = "x-*" }\n',
        "upstreams.a.aliases.gpt-*",
        "is no name of a model",
    ),
    "a_body_beyond_64_bits": (UPSTREAM + "[upstreams.extra_body]\nseed = 99999999999999999999\n", "extra_body", "JSON"),
    "a_password_of_nobody": (UPSTREAM + 'proxy = "http://:CANARY@h:3128"\n', "upstreams.a.proxy", "http://host:port"),
    "a_host_that_is_none": (UPSTREAM + 'proxy = "http://a..b:3128"\n', "upstreams.a.proxy", "http://host:port"),
    "a_proxy_of_another_kind": (UPSTREAM + 'proxy = "socks5://u:CANARY@h:1080"\n', "upstreams.a.proxy", "http://"),
    "a_proxy_without_a_scheme": (UPSTREAM + 'proxy = "h:3128"\n', "upstreams.a.proxy", "http://"),
    "a_proxy_with_a_path": (UPSTREAM + 'proxy = "http://u:CANARY@h:3128/x"\n', "upstreams.a.proxy", "http://host:port"),
    "a_proxy_with_a_query": (UPSTREAM + 'proxy = "http://h:3128?k=CANARY"\n', "upstreams.a.proxy", "http://host:port"),
    "a_proxy_at_no_port": (UPSTREAM + 'proxy = "http://u:CANARY@h:x"\n', "upstreams.a.proxy", "http://host:port"),
    "a_proxy_that_is_no_url": (UPSTREAM + 'proxy = "http://[::1"\n', "upstreams.a.proxy", "http://host:port"),
    "a_user_of_a_proxy_with_a_colon": (UPSTREAM + 'proxy = "http://a%3Ab:CANARY@h"\n', "upstreams.a.proxy", "colon"),
    "a_proxy_from_nowhere": (UPSTREAM + 'proxy = "$NOT_SET_HERE"\n', "upstreams.a.proxy", "NOT_SET_HERE"),
    "an_empty_fragment": (UPSTREAM.replace("h/v1", "h/v1#"), "upstreams.a.base_url", "fragment"),
    "a_port_that_is_none": (UPSTREAM.replace("h/v1", "h:x/v1"), "upstreams.a.base_url", "URL"),
    "a_missing_secret": (UPSTREAM + 'api_key = "$NOT_SET_HERE"\n', "upstreams.a.api_key", "NOT_SET_HERE"),
    "a_key_with_a_newline": (UPSTREAM + 'api_key = "CANARY\\nx"\n', "upstreams.a.api_key", "header"),
    "a_name_twice": (UPSTREAM + UPSTREAM, "upstreams", "two are named 'a'"),
    "a_name_with_a_slash": (UPSTREAM.replace('"a"', '"a/b"'), "upstreams", "letters"),
    "broken_toml": ("[server\n", "adapter.toml", "line 1"),
    "a_deep_array": (f"a = {'[' * 2000}\n", "adapter.toml", "recursion"),
    "a_number_of_5000_digits": (f"[server]\nport = {'1' * 5000}\n", "adapter.toml", "digits"),
    "a_blob_over_chat": (UPSTREAM + 'compact = "trigger"\n', "upstreams.a.compact", "responses only"),
    "an_unknown_kind_of_compaction": (UPSTREAM + 'compact = "zip"\n', "upstreams[0].compact", "'none'"),
    "a_prompt_that_is_not_there": ('[compaction]\nprompt = "/nowhere"\n', "compaction.prompt", "cannot be read"),
    "a_prompt_in_no_file": ('[compaction]\nprompt = "\\u0000"\n', "compaction.prompt", "cannot be read"),
    "a_misspelt_compaction_key": ("[compaction]\nstrategi = 1\n", "compaction.strategi", "did you mean 'strategy'"),
    "a_short_sealing_key": ('[sealing]\nkeys = ["CANARY"]\n', "sealing.keys", "32 bytes"),
    "a_missing_sealing_key": ('[sealing]\nkeys = ["$NOT_SET_HERE"]\n', "sealing.keys", "NOT_SET_HERE"),
    "limits_in_another_database": ('[limits]\nstorage = "http://h"\n', "limits.storage", "redis://"),
    "an_address_that_does_not_end": ('[limits]\nstorage = "redis://[::1"\n', "limits.storage", "redis://"),
    "a_negative_time": ("[server]\nkeepalive = -1\n", "server.keepalive", "greater than 0"),
}


@pytest.mark.parametrize("mistake", BAD)
def test_a_mistake_is_one_line_that_names_the_key(tmp_path: Path, mistake: str) -> None:
    text, where, hint = BAD[mistake]
    with pytest.raises(ConfigError) as refused:
        _load(tmp_path, text)
    message = str(refused.value)
    assert where in message
    assert hint in message
    assert "\n" not in message
    assert "CANARY" not in message


def test_the_mark_that_windows_editors_begin_a_file_with_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "adapter.toml"
    file.write_text("[server]\nport = 9000\n", "utf-8-sig")
    assert load(file).server.port == 9000


def test_what_is_no_file_of_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)
    (tmp_path / "adapter.toml").write_bytes(b"# \xfc\n")
    with pytest.raises(ConfigError, match="toml: "):
        load(tmp_path / "adapter.toml")


def test_keys_that_cannot_be_looked_at_are_not_taken_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to what is not there yet, or somebody else's disk that does not answer: everybody would be let in."""
    text = '[[upstreams]]\nname = "a"\nbase_url = "http://h/v1"\ndialect = "chat"\napi_key = "none"\n'
    assert not _load(tmp_path, text).keyed
    keys = tmp_path / "keys.toml"
    keys.symlink_to(tmp_path / "later")
    assert _load(tmp_path, text).keyed
    keys.unlink()

    def fails(path: Path, *_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "lstat", fails)
    assert _load(tmp_path, text).keyed


def test_a_missing_file_is_told() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(Path("/nowhere/adapter.toml"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("ADAPTER_SERVR__PORT", "did you mean 'server'"), ("ADAPTER_SERVER__PROT", "did you mean 'port'")],
)
def test_an_unknown_variable_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str, hint: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=hint):
        load()


def test_the_snapshot_cannot_be_changed_and_can_go_to_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "sk-CANARY")
    settings = _load(tmp_path, GOOD)
    with pytest.raises(FrozenInstanceError):
        settings.server.port = 1  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert "CANARY" not in repr(settings)


def test_text_becomes_what_the_key_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keys").touch()
    said = {"SERVER__OPEN": "yes", "SERVER__DRAIN_DELAY": "0", "KEYS_FILE": "keys", "METRICS": '{"port": "9"}'}
    said |= {"COMPACTION__REPLIES": '{"gpt-*": "gomodel"}', "STORE__TTL": "60", "METRICS__HOST": "::1"}
    for name, value in said.items():
        monkeypatch.setenv(f"ADAPTER_{name}", value)
    settings = load()
    assert (settings.server.open, settings.server.drain_delay, settings.keys_file) == (True, 0.0, Path("keys"))
    assert (settings.metrics.port, settings.metrics.host, settings.store.ttl) == (9, "::1", 60)
    assert settings.compaction.replies == {"gpt-*": "gomodel"}
    assert "store" in settings.written


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        (
            "ADAPTER_UPSTREAMS",
            "[",
            'error parsing value for field "upstreams": arrays and tables are written as JSON there',
        ),
        ("ADAPTER_SERVER__OPEN", "perhaps", "server.open: input should be a valid boolean, unable to interpret input"),
        ("ADAPTER_SERVER__WORKERS", "0", "server.workers: input should be greater than 0"),
        ("ADAPTER_STORE__TTL", "-1", "store.ttl: input should be greater than or equal to 0"),
        ("ADAPTER_SERVER__PORT", "1.5", "server.port: input should be a valid integer, unable to parse string as"),
        (
            "ADAPTER_UPSTREAMS",
            '[{"prioty": 1}]',
            "upstreams[0].prioty: unknown key, did you mean 'priority'? (and 3 more)",
        ),
    ],
)
def test_what_a_variable_cannot_say_is_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str, hint: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as refused:
        load()
    assert hint in str(refused.value)


@pytest.mark.parametrize(
    ("text", "written"),
    [("", False), ("[store]\n# ttl = 60\n", False), ('[store]\nmode = "client"\n', True)],
    ids=["none", "empty", "a default"],
)
def test_a_section_is_written_that_says_something(tmp_path: Path, text: str, written: bool) -> None:
    assert ("store" in _load(tmp_path, text).written) is written


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [("STORE", "{}", False), ("STORE", '{"mode": "client"}', True), ("STORE__MODE", "client", True)],
)
def test_so_it_is_in_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str, written: bool) -> None:
    monkeypatch.setenv(f"ADAPTER_{name}", value)
    assert ("store" in load().written) is written


def test_an_empty_table_of_no_section_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sever: unknown key, did you mean 'server'"):
        _load(tmp_path, "[sever]\n")
