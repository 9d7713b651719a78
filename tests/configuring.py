"""Settings of tables, without a file."""

from __future__ import annotations

from typing import Any

from adapter.config import checked
from adapter.reading import held
from adapter.sections import Settings


def loaded(**sections: Any) -> Settings:
    """What a file with these sections would give."""
    return checked(held(sections))
