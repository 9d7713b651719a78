"""The schemas of functions as servers take them that want an object spelled out."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.dialects.functions.parameters import object_schema

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
EMPTY: Schema = {"type": "object", "properties": {}}


def form(required: Any = None, **properties: Any) -> Schema:
    """One form of a union."""
    return {"type": "object", "properties": properties} | ({} if required is None else {"required": required})


@pytest.mark.parametrize(
    ("said", "made"),
    [
        (None, EMPTY),
        ({}, EMPTY),
        ({"type": None, "properties": {}}, EMPTY),
        ({"type": "object"}, EMPTY),
        ({"type": "object", "properties": None, "title": "T"}, {**EMPTY, "title": "T"}),
        ({"properties": {"a": TEXT}, "required": ["a"]}, form(["a"], a=TEXT)),
        ({"type": None, "properties": {"a": TEXT}}, form(a=TEXT)),
        ({"$schema": "x"}, {**EMPTY, "$schema": "x"}),
        ({"properties": {"a": TEXT}, "anyOf": [{"required": ["a"]}]}, {**form(a=TEXT), "anyOf": [{"required": ["a"]}]}),
        ({"type": "object", "oneOf": [form(a=TEXT)]}, {**EMPTY, "oneOf": [form(a=TEXT)]}),
    ],
)
def test_a_schema_that_does_not_say_so_is_that_of_an_object(said: Schema | None, made: Schema) -> None:
    assert object_schema(said) == (made, False)


@pytest.mark.parametrize(
    "said",
    [
        form(a=TEXT),
        {"type": "object", "properties": {}},
        {"type": "object", "properties": []},
        {"type": "string"},
        {"type": ["object", "null"]},
        {"$ref": "#/$defs/a"},
        {"type": None, "$ref": "#/$defs/a"},
    ],
)
def test_any_other_is_the_upstreams_to_judge(said: Schema) -> None:
    made, about = object_schema(said)
    assert (made is said, about) == (True, False)


A, B = {"const": "a"}, {"const": "b"}


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ({"oneOf": [form(["a"], a=TEXT), form(["b"], b=TEXT)]}, form(a=TEXT, b=TEXT)),
        ({"type": None, "properties": {}, "anyOf": [form(["a", "b"], a=A, b=TEXT), form(["a"], a=B)]}, form(["a"], a={"anyOf": [A, B]}, b=TEXT)),
        ({"allOf": [form(["a"], a=TEXT), form(["b"], b=TEXT), {"type": "object"}]}, form(["a", "b"], a=TEXT, b=TEXT)),
        ({"anyOf": [form(["a"], a=TEXT), {"properties": {"a": TEXT}}], "required": ["c"], "title": "T"}, {**form(["c"], a=TEXT), "title": "T"}),
        ({"anyOf": [form(["a", "a", 1], a=TEXT), form("a", b=TEXT)], "allOf": [form(["d"])]}, form(["d"], a=TEXT, b=TEXT)),
        ({"oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}], "$defs": {"A": form(["a"], a=TEXT)}}, {**form(["a"], a=TEXT), "$defs": {"A": form(["a"], a=TEXT)}}),
    ],
    ids=["of_nothing_common", "told_apart_by_a_word", "of_all_at_once", "with_something_beside", "of_several_kinds", "elsewhere"],
)  # fmt: skip
def test_a_union_of_objects_is_one_with_the_properties_of_all(said: Schema, made: Schema) -> None:
    assert object_schema(said) == (made, True)


DEFINED: Schema = {"Again": {"$ref": "#/$defs/Again"}, "Deep": form(a=form(a=TEXT))}


@pytest.mark.parametrize(
    "branches",
    [
        [],
        {"a": 1},
        [form(a=TEXT), TEXT],
        [form(a=TEXT), True],
        [{"properties": []}],
        [{"required": ["a"]}],
        [{"anyOf": [form(a=TEXT)]}],
        [{"$ref": "elsewhere"}],
        [{"$ref": "#/$defs/missing"}],
        [{"$ref": "#/definitions/missing"}],
        [{"$ref": "#/$defs/Deep/properties/a"}],
        [{"$ref": "#/$defs/Again"}],
        [{"$ref": 1}],
        [form(a=orjson.loads(b"[" * 1000 + b"]" * 1000))] * 2,
    ],
)
def test_any_other_union_stays_beside_the_word_that_it_is_an_object(branches: Any) -> None:
    more = {"anyOf": branches, "title": "T", "$defs": DEFINED}
    assert object_schema(more) == ({**EMPTY, **more}, False)


anything: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, 1, "object", "string", "a", "#/$defs/a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "required", "anyOf", "oneOf", "allOf", "$ref", "$defs", "a"]), inner
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["type", "properties", "required", "anyOf", "oneOf", "$ref", "$defs"]), anything)
)
def test_whatever_is_said_is_left_as_it_is_and_needs_nothing_more_once_it_is_made(said: Schema) -> None:
    before = copy.deepcopy(said)
    made, _ = object_schema(said)

    assert said == before
    again, about = object_schema(made)
    assert (again is made, about) == (True, False)
