"""`adapter conform`: the conformance kit, pointed at a live server."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Final, cast

from adapter.config import checked_url
from adapter.conform.laws import Name
from adapter.conform.live.asking import Asker
from adapter.conform.live.running import NotUsable, run
from adapter.conform.report import Report
from adapter.errors import ConfigError

_SEEDS: Final = 10**6
"""How many seeds there are to choose from where none is given: few enough to type."""


def conform(
    url: str,
    dialect: str,
    model: str,
    key_env: str | None,
    headers: Sequence[str],
    examples: int,
    seed: int | None,
    timeout: float,
) -> Report:
    """What the server at `url` breaks of its dialect.

    Raises:
        ConfigError: what was given makes no request, or there is no server that answers one.
    """
    base_url = checked_url("URL", url, "the variable that --key-env names")
    fields = _key(key_env) | dict(map(_field, headers))
    with Asker(base_url, fields, timeout) as asker:
        chosen = random.randrange(_SEEDS) if seed is None else seed
        try:
            return run(asker.ask, cast(Name, dialect), model, examples=examples, seed=chosen)
        except NotUsable as refused:
            raise ConfigError(f"{base_url}: {refused}") from None


def _key(variable: str | None) -> dict[str, str]:
    if variable is None:
        return {}
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(f"--key-env: the environment has no {variable}")
    return {"authorization": f"Bearer {_sendable('--key-env', key)}"}


def _field(header: str) -> tuple[str, str]:
    name, colon, value = header.partition(":")
    if not colon or not name.strip().replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise ConfigError("--header must be written 'name: value'")
    return name.strip().lower(), _sendable("--header", value.strip())


def _sendable(option: str, value: str) -> str:
    if not value.isprintable() or not value.isascii():
        raise ConfigError(f"{option}: the value holds characters that no header can carry")
    return value
