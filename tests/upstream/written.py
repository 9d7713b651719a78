"""An upstream's section as if a file had said it."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from adapter.sections import Upstream

_UPSTREAM = TypeAdapter(Upstream)


def section(**written: Any) -> Upstream:
    """Of these keys, each of its type."""
    return _UPSTREAM.validate_python(written)
