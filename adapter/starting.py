"""While a program starts, nobody looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def starting() -> Iterator[None]:
    """Imports leave no garbage, and looking for it is a tenth of a start. What serves turns the collector on itself."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
