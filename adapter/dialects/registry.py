"""The only file that knows both dialects."""

from __future__ import annotations

from typing import Final

from adapter.dialects import chat, responses
from adapter.dialects.base import Dialect
from adapter.hub.request import DialectName

DIALECTS: Final[dict[DialectName, Dialect]] = {"chat": chat, "responses": responses}
