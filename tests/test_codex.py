"""What Codex is told: entries of the catalog by pattern, and the block for its configuration."""

from __future__ import annotations

import json
import re
import socket
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from adapter.access.keys import Key, KeyFile, digest_of
from adapter.codex import _NEEDED, CONTEXT_WINDOW, Codex, config_block, entry
from adapter.config import load
from adapter.errors import ConfigError
from adapter.pointing import codex_config
from adapter.sections import Settings


def told(name: str, *sections: Codex, **upstream: Any) -> dict[str, Any]:
    return entry(name, 0, sections, **{"window": None, "reasons": True, "parallel": True, "images": True} | upstream)


def test_without_a_section_it_is_what_the_upstream_can_do() -> None:
    info = told("m", window=8192, images=False)
    assert (info["context_window"], info["input_modalities"]) == (8192, ["text"])
    assert info["default_reasoning_level"] == "medium"
    assert told("m")["context_window"] == CONTEXT_WINDOW
    assert told("m", reasons=False)["supported_reasoning_levels"] == []


def test_the_first_section_whose_pattern_matches_counts() -> None:
    sections = (Codex(models=("qwen*",), apply_patch=False, namespaces=False), Codex(tool_search=True, images=True))
    qwen, other = told("qwen3", *sections), told("m", *sections, images=False)

    assert (qwen["apply_patch_tool_type"], qwen["multi_agent_version"]) == (None, "disabled")
    assert qwen["supports_search_tool"] is False
    assert (other["apply_patch_tool_type"], other["supports_search_tool"]) == ("freeform", True)
    assert other["input_modalities"] == ["text", "image"]


@pytest.mark.parametrize(
    ("levels", "default"), [((), None), (("high",), "high"), (("low", "medium"), "medium"), (("none", "max"), "none")]
)
def test_reasoning_levels_are_the_operators(levels: tuple[Any, ...], default: str | None) -> None:
    info = told("m", Codex(reasoning_levels=levels))
    assert [level["effort"] for level in info["supported_reasoning_levels"]] == list(levels)
    assert info["default_reasoning_level"] == default


def test_an_upstreams_own_entry_stays_as_it_is_but_for_what_is_said() -> None:
    own = {"default_reasoning_level": "low", "context_window": 400_000, "model_messages": {}, "display_name": "M"}
    assert told("m", native=own).items() >= own.items()
    assert "base_instructions" not in told("m", native=own)
    assert "input_modalities" not in told("m", native=own)

    info = told("m", Codex(reasoning_levels=("minimal", "low"), images=False), native=own)
    assert (info["default_reasoning_level"], info["input_modalities"]) == ("low", ["text"])
    assert told("m", Codex(reasoning_levels=("high",)), native=own)["default_reasoning_level"] == "high"


@pytest.mark.parametrize("own", [{}, {"model_messages": {}}])
def test_an_entry_has_what_codex_needs_or_the_whole_catalog_is_nothing(own: dict[str, Any]) -> None:
    missing = told("m").keys() - told("m", native=own).keys()
    assert not missing & (set(_NEEDED) - {"base_instructions"})


def _load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "adapter.toml"
    path.write_text(text)
    return load(path)


UPSTREAM = '[[upstreams]]\nname = "u"\nbase_url = "http://127.0.0.1:1/v1"\ndialect = "chat"\n'


def test_a_misspelt_key_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"upstreams\[0\]\.codex\[0\]\.aply_patch: .*did you mean 'apply_patch'"):
        _load(tmp_path, UPSTREAM + "[[upstreams.codex]]\naply_patch = true\n")


@pytest.mark.parametrize(
    ("text", "url", "base_url", "key"),
    [
        ("", None, "http://127.0.0.1:8080/v1", False),
        ('[server]\nhost = "0.0.0.0"\nport = 9000\nopen = true\n' + UPSTREAM, None, "http://127.0.0.1:9000/v1", True),
        (UPSTREAM + 'api_key = "none"\n', "https://llm.example/", "https://llm.example/v1", False),
        ("", "https://llm.example/v1", "https://llm.example/v1", False),
    ],
)
def test_the_block_says_where_the_adapter_is(
    tmp_path: Path, text: str, url: str | None, base_url: str, key: bool
) -> None:
    """Codex needs a key where callers' keys go on to the model server."""
    block = tomllib.loads(codex_config(_load(tmp_path, text), url, 'a "model"'))
    provider = block["model_providers"]["adapter"]

    assert block["model"] == 'a "model"'
    assert (provider["base_url"], provider["model_catalog_url"]) == (base_url, f"{base_url}/models")
    assert ("env_key" in provider) is key


OPENAI = UPSTREAM.replace("chat", "responses") + 'profile = "openai"\n'


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        (OPENAI, False),
        (OPENAI + OPENAI.replace('"u"', '"v"').replace("openai", "azure"), False),
        ("", True),
        (OPENAI.replace("responses", "chat"), True),
        (OPENAI + UPSTREAM.replace('"u"', '"v"'), True),
        (OPENAI + 'aliases = { house = "gpt-5.6-sol" }\n', True),
        (OPENAI + "[upstreams.capabilities]\nstateful = false\n", True),
        (OPENAI + '[[upstreams.codex]]\nmodels = ["gpt-4*"]\n', True),
    ],
)
def test_codex_asks_for_no_catalog_where_it_knows_all_models_better(tmp_path: Path, text: str, asks: bool) -> None:
    printed = codex_config(_load(tmp_path, text), None, "m")
    assert ("model_catalog_url" in tomllib.loads(printed)["model_providers"]["adapter"]) is asks
    assert "model_catalog_url" in printed


def test_codex_needs_a_key_where_keys_are_in_their_file_only(tmp_path: Path) -> None:
    KeyFile(tmp_path / "keys.toml").add(Key("laptop", digest_of("k" * 32), "alice", ("default",)))
    block = tomllib.loads(codex_config(_load(tmp_path, UPSTREAM + 'api_key = "none"\n'), None, "m"))
    assert "env_key" in block["model_providers"]["adapter"]


def test_without_a_model_it_is_the_first_that_the_adapter_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter may still be starting; and a proxy of the environment would not find it."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)

    class Adapter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"object": "list", "data": [{"id": "first"}, {"id": "second"}]}')

        def log_message(self, *_: Any) -> None:
            pass

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server: list[ThreadingHTTPServer] = []

    def start() -> None:
        server.append(ThreadingHTTPServer(("127.0.0.1", port), Adapter))
        server[0].serve_forever()

    timer = threading.Timer(0.3, start)
    timer.start()
    try:
        block = tomllib.loads(codex_config(_load(tmp_path, ""), f"http://127.0.0.1:{port}", None))
    finally:
        timer.join(0.5)
        server[0].shutdown()
        server[0].server_close()
    assert block["model"] == "first"


@contextmanager
def answering(said: bytes) -> Iterator[str]:
    """A server that answers one request so; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as peer:
                peer.recv(4096)
                peer.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def listing(**members: Any) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + json.dumps(members).encode()


@pytest.mark.parametrize(("model", "chosen"), [(None, "first"), ("second", "second")])
def test_the_catalog_may_be_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str | None, chosen: str
) -> None:
    """Not all versions of Codex ask for it; one that runs meanwhile reads the old one or the new one."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my “catalog”.json"
    file.write_text("before")
    before = file.open()
    models = [{"slug": "first", "description": "é"}, {"slug": "second"}]
    with answering(listing(data=[{"id": "first"}], models=models)) as url:
        block = tomllib.loads(codex_config(_load(tmp_path, ""), url, model, Path(file.name)))

    assert (block["model"], block["model_catalog_json"]) == (chosen, str(file))
    assert "model_catalog_url" not in block["model_providers"]["adapter"]
    assert json.loads(file.read_text()) == {"models": models}
    assert file.stat().st_mode & 0o777 == 0o644
    with before:
        assert before.read() == "before"
    assert {path.name for path in tmp_path.iterdir()} == {"adapter.toml", file.name}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (listing(data=[{"id": "m"}]), "is no adapter: give --url"),
        (listing(models=[{"name": "m"}]), "is no adapter: give --url"),
        (listing(models=[]), "lists no models: there is no catalog of none"),
        (
            b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n",
            r"no model list at .* \(Unauthorized\): give --url",
        ),
    ],
)
def test_without_a_catalog_there_is_no_file_and_no_block(tmp_path: Path, said: bytes, why: str) -> None:
    with answering(said) as url, pytest.raises(ConfigError, match=why):
        codex_config(_load(tmp_path, ""), url, "m", tmp_path / "catalog.json")
    assert not (tmp_path / "catalog.json").exists()


@pytest.mark.parametrize(
    ("place", "why"), [("missing/catalog.json", "No such file or directory"), ("full", "directory")]
)
def test_a_catalog_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, place: str, why: str) -> None:
    (tmp_path / "full").mkdir()
    with answering(listing(models=[{"slug": "m"}])) as url, pytest.raises(ConfigError, match=f"^--catalog: .*{why}"):
        codex_config(_load(tmp_path, ""), url, None, tmp_path / place)
    assert {path.name for path in tmp_path.iterdir()} == {"adapter.toml", "full"}


def test_the_sample_of_the_readme_is_a_section(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    (sample,) = [block for block in re.findall(r"```toml\n(.*?)```", readme, re.S) if "upstreams.codex" in block]
    (section,) = _load(tmp_path, UPSTREAM + sample).upstreams[0].codex
    assert section.models == ("qwen*",)


def test_without_a_model_and_an_adapter_there_is_no_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapter.pointing._STARTING", 0)
    with pytest.raises(ConfigError, match="give --model"):
        codex_config(_load(tmp_path, ""), "http://127.0.0.1:1", None)


@pytest.mark.parametrize("url", ["llm.example", "http://", "http://[", "http://h:x", "http://a b", "http://h?a=b"])
def test_what_is_no_url_is_said_in_one_line(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"^--url: "):
        codex_config(_load(tmp_path, ""), url, None)


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"data": [{}]}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    ],
)
def test_what_answers_and_is_no_adapter_is_said_in_one_line(tmp_path: Path, said: bytes) -> None:
    with answering(said) as url, pytest.raises(ConfigError, match="is no adapter: give --model or --url"):
        codex_config(_load(tmp_path, ""), url, None)


@pytest.mark.parametrize(("key", "given"), [(True, "env_key"), (False, "experimental_bearer_token")])
def test_the_block_is_toml_and_says_which_key_since_without_one_codex_asks_for_no_catalog(
    key: bool, given: str
) -> None:
    provider = tomllib.loads(config_block("http://h/v1", "m", key=key))["model_providers"]["adapter"]

    assert provider.keys() & {"env_key", "experimental_bearer_token"} == {given}
    assert provider["model_catalog_url"] == "http://h/v1/models"
