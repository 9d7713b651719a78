"""One Hypothesis profile for the whole suite.

No deadline: timing never decides a test, and the machine may be busy. In CI the examples are derived from the test itself,
so that a run says the same twice; at a desk every run looks at new ones. `HYPOTHESIS_EXAMPLES` raises the number.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "adapter",
    deadline=None,
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "60")),
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
settings.load_profile("adapter")
