"""Groups: the first that allows model and upstream decides; what no group reaches does not exist."""

from __future__ import annotations

import pytest

from adapter.access.groups import Access, Group
from adapter.access.limits import Limits, Measure
from adapter.errors import Forbidden

CODEX = Group(name="codex", models=("gpt-*", "qwen3-coder"), upstreams=("openai", "vllm-*"), limits=Limits(streams=3))
CHEAP = Group(name="cheap", models=("*",), upstreams=("local",), key_limits=Limits(requests_per_minute=1))
ACCESS = Access([CODEX, CHEAP], ["openai", "vllm-1", "local", "secret"], {"laptop": Limits(tokens_per_day=5)})


@pytest.mark.parametrize(
    ("groups", "model", "upstreams", "decides"),
    [
        (("codex",), "gpt-5", ["openai"], CODEX),
        (("codex", "cheap"), "gpt-5", ["local", "vllm-1"], CODEX),
        (("codex", "cheap"), "gpt-5", ["local"], CHEAP),
        (("codex", "cheap"), "llama", ["local", "openai"], CHEAP),
        (("codex",), "llama", ["openai"], None),
        (("codex",), "gpt-5", ["secret"], None),
        (("gone",), "gpt-5", ["openai"], None),
        ((), "gpt-5", ["openai"], None),
    ],
)
def test_who_decides(groups: tuple[str, ...], model: str, upstreams: list[str], decides: Group | None) -> None:
    if decides is None:
        with pytest.raises(Forbidden) as refused:
            ACCESS.granting(groups, model, upstreams)
        assert refused.value.param == "model"
        assert not any(name in refused.value.message for name in ("openai", "secret", "codex"))
    else:
        assert ACCESS.granting(groups, model, upstreams) is decides
    assert any(ACCESS.allows(groups, model, upstream) for upstream in upstreams) == (decides is not None)


def test_upstreams_of_others_are_not_there() -> None:
    assert ACCESS.visible(("codex",)) == {"openai", "vllm-1"}
    assert ACCESS.visible(("cheap", "gone")) == {"local"}
    assert ACCESS.visible(()) == frozenset()


def test_the_bounds_of_a_request_are_those_of_key_owner_and_group() -> None:
    group = Group(
        name="g",
        limits=Limits(requests_per_minute=1),
        owner_limits=Limits(tokens_per_minute=2),
        key_limits=Limits(streams=3),
    )
    counters = Access([group], ["u"], {"laptop": Limits(tokens_per_day=5)}).counters(group, "alice", "laptop")
    assert [(c.subject, c.measure, c.limit) for c in counters] == [
        ("key:laptop", Measure.TOKENS_PER_DAY, 5),
        ("group:g:key:laptop", Measure.STREAMS, 3),
        ("group:g:owner:alice", Measure.TOKENS_PER_MINUTE, 2),
        ("group:g", Measure.REQUESTS_PER_MINUTE, 1),
    ]
