"""What one reading of the configuration makes of the server."""

from __future__ import annotations

from dataclasses import dataclass

from adapter.access.caller import Gate
from adapter.server.courses.deciding import Courses
from adapter.upstream.models import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A snapshot: the pipeline has one at a time, and a turn that has begun goes on with its own."""

    gate: Gate
    courses: Courses
    catalog: Catalog
