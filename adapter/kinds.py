"""What the sections of the configuration are made of: frozen dataclasses whose annotations say what is taken.

Pydantic holds what the operator wrote to them (`adapter.reading`). Nothing that serves imports it: it is 11 MB in each
process, a fifth of what one has at rest.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final


class Bounds:
    """What a value is held to, in the words of Pydantic's schemas: `gt`, `ge`, `le`, `min_length`. Those of `annotated_types`
    are forty classes, 3 % of a start."""

    __slots__ = ("said",)

    def __init__(self, **said: int) -> None:
        self.said = said

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """To Pydantic: as the value itself, held to them."""
        return {**handler(source), **self.said}


PositiveInt = Annotated[int, Bounds(gt=0)]
PositiveFloat = Annotated[float, Bounds(gt=0)]
Count = Annotated[int, Bounds(ge=0)]
Globs = Annotated[tuple[str, ...], Bounds(min_length=1)]
"""Patterns with `*` and `?`, of which one has to match."""

WILDCARDS: Final = frozenset("*?")
"""What makes a pattern of a name that may hold brackets: `sonnet[1m]` is one."""

_HIDDEN: Final = "**********"


class Section:
    """A table whose keys are known."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}


class Secret:
    """A text that stays out of logs, messages and tracebacks."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """The text itself."""
        return self._value

    def __repr__(self) -> str:
        return _HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """To Pydantic: made of a text."""
        from pydantic_core.core_schema import no_info_after_validator_function, str_schema

        return no_info_after_validator_function(cls, str_schema())
