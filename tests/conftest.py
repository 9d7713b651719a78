"""One Hypothesis profile for the whole suite.

No deadline: timing never decides a test, and the machine may be busy. The examples are derived from the test itself, so
that a run says the same twice. `HYPOTHESIS_EXAMPLES=2000 pytest tests/laws` goes searching: so many new ones every time.
"""

from __future__ import annotations

import os

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
