from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.access.redis import SERVER, serving


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    if SERVER is None:
        pytest.skip("no redis-server: apt-get install redis-server")
    with serving() as url:
        yield url
