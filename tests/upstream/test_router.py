"""Which upstream serves a model, under which name."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.errors import InvalidValue, ModelNotFound
from adapter.upstream.router import Router, Upstream
from tests.upstream.written import section


def _router(*upstreams: dict[str, Any]) -> Router:
    return Router([Upstream.of(section(base_url="http://h/v1", dialect="chat", **upstream)) for upstream in upstreams])


def _chosen(router: Router, model: str, provider: str | None = None) -> list[tuple[str, str]]:
    return [(target.upstream.name, target.model) for target in router.route(model, provider)]


def test_the_first_upstream_whose_pattern_matches_comes_first() -> None:
    router = _router({"name": "a", "models": ("gpt-*",)}, {"name": "b"})
    assert _chosen(router, "gpt-5") == [("a", "gpt-5"), ("b", "gpt-5")]
    assert _chosen(router, "qwen") == [("b", "qwen")]


def test_patterns_match_whole_names_and_mind_case() -> None:
    router = _router({"name": "a", "models": ("gpt-?", "qwen[23]")})
    assert _chosen(router, "gpt-5") == [("a", "gpt-5")]
    assert _chosen(router, "qwen3") == [("a", "qwen3")]
    for unknown in ("gpt-55", "xgpt-5", "GPT-5", "qwen4", "gpt-5\u2028"):
        with pytest.raises((ModelNotFound, InvalidValue)):
            router.route(unknown)


def test_an_alias_may_be_a_pattern_and_names_go_first() -> None:
    """Codex asks for models that nobody configured (`codex-auto-review`)."""
    aliases = {"codex-*": "small", "*": "large", "codex-mini": "mini", "odd[1]": "odd"}
    router = _router({"name": "a", "models": ("qwen*",), "aliases": aliases}, {"name": "b", "models": ("gpt-5",)})
    asked = {"codex-auto-review": "small", "codex-mini": "mini", "anything": "large", "odd[1]": "odd"}
    assert {model: _chosen(router, model) for model in asked} == {model: [("a", own)] for model, own in asked.items()}
    assert _chosen(router, "gpt-5") == [("a", "large"), ("b", "gpt-5")]


def test_an_alias_with_brackets_is_a_name() -> None:
    router = _router({"name": "a", "models": ("qwen",), "aliases": {"sonnet[1m]": "qwen"}})
    assert _chosen(router, "sonnet[1m]") == [("a", "qwen")]
    with pytest.raises(ModelNotFound):
        router.route("sonnet1")


def test_an_alias_counts_in_matching_and_is_replaced() -> None:
    router = _router({"name": "a", "models": ("qwen3-coder",), "aliases": {"gpt-5.5": "qwen3-coder"}}, {"name": "b"})
    assert _chosen(router, "gpt-5.5")[0] == ("a", "qwen3-coder")


def test_a_prefix_picks_an_upstream_and_is_stripped() -> None:
    router = _router({"name": "a"}, {"name": "b"})
    assert _chosen(router, "b/gpt-5") == [("b", "gpt-5")]


def test_a_slash_that_names_no_upstream_belongs_to_the_model() -> None:
    router = _router({"name": "a"})
    assert _chosen(router, "meta/llama") == [("a", "meta/llama")]
    assert _chosen(router, "a/") == [("a", "a/")]


def test_a_prefix_whose_upstream_does_not_serve_the_rest_is_part_of_the_name() -> None:
    router = _router({"name": "openai", "models": ("gpt-*",)}, {"name": "relay"})
    assert _chosen(router, "openai/o3") == [("relay", "openai/o3")]


def test_a_provider_picks_an_upstream() -> None:
    router = _router({"name": "a"}, {"name": "b", "aliases": {"m": "own"}})
    assert _chosen(router, "m", "b") == [("b", "own")]
    assert _chosen(router, "b/m", "b") == [("b", "own")]


def test_an_unknown_provider_is_refused_by_name() -> None:
    with pytest.raises(InvalidValue) as refused:
        _router({"name": "a"}).route("m", "http://evil.example")
    assert refused.value.param == "provider"


def test_a_model_that_nobody_serves_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        _router({"name": "a", "models": ("x",)}).route("m")
    with pytest.raises(ModelNotFound):
        _router({"name": "a", "models": ("x",)}, {"name": "b"}).route("m", "a")


@pytest.mark.parametrize("name", ["a\nb", "\x00", "x" * 257])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidValue):
        _router({"name": "a"}).route(name)


def test_a_chat_upstream_never_keeps_state() -> None:
    chat = Upstream.of(section(name="a", base_url="http://h", dialect="chat", profile="openai"))
    responses = Upstream.of(section(name="a", base_url="http://h", dialect="responses", profile="openai"))
    assert (chat.stateful, responses.stateful) == (False, True)


def test_a_key_is_in_no_repr() -> None:
    written = section(name="a", base_url="http://h", dialect="chat", api_key="sk-CANARY")
    assert "CANARY" not in repr(Upstream.of(written))
    assert "CANARY" not in repr(written)


def test_all_that_serve_a_model_are_targets_by_priority() -> None:
    found = _router({"name": "late", "priority": 2}, {"name": "b"}, {"name": "a", "priority": 1}).route("m")
    assert [target.upstream.name for target in found] == ["b", "a", "late"]


def test_upstreams_that_a_caller_may_not_see_do_not_exist_for_it() -> None:
    table = _router({"name": "mine"}, {"name": "secret", "models": ["gpt-*"]})
    visible = frozenset({"mine"})
    assert [target.upstream.name for target in table.route("gpt-5", None, visible)] == ["mine"]
    with pytest.raises(InvalidValue) as refused:
        table.route("gpt-5", "secret", visible)
    with pytest.raises(InvalidValue) as unknown:
        table.route("gpt-5", "no-such", visible)
    assert refused.value.message == unknown.value.message == "provider must be one of the configured upstreams: mine."
    assert table.route("secret/gpt-5", None, visible)[0].model == "secret/gpt-5"
    with pytest.raises(ModelNotFound):
        table.route("m", None, frozenset())


def test_a_target_knows_what_the_client_asked_for() -> None:
    table = _router({"name": "up", "aliases": {"fast": "gpt-5-mini"}})
    assert [(t.asked, t.model) for t in table.route("up/fast")] == [("fast", "gpt-5-mini")]
