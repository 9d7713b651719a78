"""What answers to GET /models say: two shapes, several answers, and what is not passed on."""

from __future__ import annotations

from typing import Any

import pytest
from orjson import dumps

from adapter.errors import UpstreamInvalid
from adapter.upstream.lists import Listed, listed, read


def said(*answers: Any) -> dict[str, Listed]:
    return listed([read(dumps(answer)) for answer in answers])


def test_the_first_entry_of_a_name_counts_and_codexs_list_comes_behind() -> None:
    first, second = (
        {"data": [{"id": "b", "created": 1}, {"id": "a"}]},
        {"data": [{"id": "b", "created": 2}, {"id": "c"}]},
    )
    found = said(
        first | {"models": [{"slug": "n", "of": 1}, {"slug": "a"}]}, second | {"models": [{"slug": "n", "of": 2}]}
    )
    assert list(found) == ["b", "a", "c", "n"]
    assert found["b"] == Listed(created=1)
    assert found["a"] == Listed(native={"slug": "a"})
    assert found["n"] == Listed(native={"slug": "n", "of": 2})


@pytest.mark.parametrize(
    "answer", [[], {}, "text", None, {"data": {}, "models": 5}, {"data": [{"id": ""}, {"id": None}]}]
)
def test_nothing_in_it_is_no_failure(answer: Any) -> None:
    assert said(answer) == {}


def test_what_is_no_json_is_one() -> None:
    with pytest.raises(UpstreamInvalid):
        read(b"<html>")


@pytest.mark.parametrize("name", ["key", "API_KEY", "accessToken", "client-secret"])
def test_members_with_secrets_are_passed_on_by_nobody(name: str) -> None:
    entry = {"id": "m", name: "s", "meta": {name: "s", "max_tokens": 5, "of": [[{name: "s"}]]}}
    assert said([entry])["m"].further == {"meta": {"max_tokens": 5, "of": [[{}]]}}
