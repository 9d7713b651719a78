"""Base URLs with a query of their own."""

from __future__ import annotations

import pytest

from adapter.wire.address import joined, query_values, shown

AZURE = "https://r.openai.azure.com/openai/deployments/d?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("base_url", "path", "whole"),
    [
        ("http://h/v1", "/responses", "http://h/v1/responses"),
        ("http://h/v1", "/responses/r?stream=true", "http://h/v1/responses/r?stream=true"),
        (AZURE, "/models", "https://r.openai.azure.com/openai/deployments/d/models?api-version=2024-10-21"),
        ("http://h?a=1&b=%2F", "/r?limit=3&x=%26", "http://h/r?a=1&b=%2F&limit=3&x=%26"),
        ("http://h?a=1", "/r?a=2&A=3&b=4", "http://h/r?a=1&b=4"),
        ("http://h?a", "/r?%61=2", "http://h/r?a"),
    ],
)
def test_both_queries_are_sent_and_the_base_has_the_last_word(base_url: str, path: str, whole: str) -> None:
    assert joined(base_url, path) == whole


def test_names_of_a_query_are_shown_and_its_values_are_not() -> None:
    assert shown("http://h/v1") == "http://h/v1"
    assert shown("http://h/v1?api-version=CANARY&k=CANARY&k=&e") == "http://h/v1?api-version=…&k=…&k=…&e=…"


def test_a_value_is_known_in_both_of_its_spellings() -> None:
    assert query_values("http://h?k=a%2Fb&l=a+b") >= {"a%2Fb", "a/b", "a+b", "a b"}
