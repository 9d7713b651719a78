"""One Hypothesis profile for the whole suite, and a state directory of its own.

No deadline: timing never decides a test, and the machine may be busy. The examples are derived from the test itself, so
that a run says the same twice. `HYPOTHESIS_EXAMPLES=2000 pytest tests/laws` goes searching: so many new ones every time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

SEARCH = os.environ.get("HYPOTHESIS_EXAMPLES")

settings.register_profile(
    "adapter",
    deadline=None,
    max_examples=int(SEARCH or 60),
    derandomize=SEARCH is None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
settings.load_profile("adapter")


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What adapters keep by themselves (the generated key, the default store) stays out of the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
