"""The reference validator beside the repository, where it is: `../shared/spec/validate.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parent.parent.parent / "shared" / "spec" / "validate.py"

needs_validator = pytest.mark.skipif(not PATH.exists(), reason="needs ../shared/spec")


def load() -> ModuleType | None:
    """The validator module; None where it is not there."""
    if not PATH.exists():
        return None
    if "reference_validator" not in sys.modules:
        spec = importlib.util.spec_from_file_location("reference_validator", PATH)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["reference_validator"] = module
        spec.loader.exec_module(module)
    return sys.modules["reference_validator"]
