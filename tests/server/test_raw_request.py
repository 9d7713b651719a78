"""What is checked of a request that goes on as it came: looking at all roles at once refuses what a look at each does."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.errors import InvalidValue
from adapter.server.calls.raw_request import _check_roles

SPEAKERS: Final = frozenset({"user", "assistant", "tool"})

turns = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "x", "", None, 1, True, [], {}]),
        "type": st.sampled_from(["message", "function_call", None, 2]),
    },
)


def _is_wrong(turn: dict[str, Any], *, required: bool) -> bool:
    role = turn.get("role")
    if role is None:
        return required
    return not isinstance(role, str) or (role not in SPEAKERS and turn.get("type", "message") == "message")


@settings(max_examples=300, deadline=None)
@given(st.lists(turns, max_size=4))
def test_the_first_wrong_role_is_refused_with_its_place(given_turns: list[dict[str, Any]]) -> None:
    for required in (True, False):
        wrong = [i for i, turn in enumerate(given_turns) if _is_wrong(turn, required=required)]
        try:
            _check_roles(given_turns, "input", SPEAKERS, required=required)
        except InvalidValue as refused:
            assert refused.param == f"input[{wrong[0]}].role"
        else:
            assert not wrong
