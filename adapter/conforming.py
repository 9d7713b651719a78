"""`adapter conform`: the conformance kit, pointed at a live server."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from time import sleep
from typing import Final, cast

from adapter import __version__
from adapter.conform.laws import Name
from adapter.conform.live.asking import Asker
from adapter.conform.live.patience import Patient
from adapter.conform.live.running import NotUsable, names, run
from adapter.conform.report import Known, Report
from adapter.errors import ConfigError
from adapter.upstream.checks import checked_url
from adapter.wire.address import shown

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
    known: Sequence[str],
    tell: Callable[[str], None],
) -> Report:
    """What the server at `url` breaks of its dialect. `tell` is given a line for each answer.

    Raises:
        ConfigError: what was given makes no request, or there is no server that answers one.
    """
    base_url = checked_url("URL", url, "the variable that --key-env names")
    fields = _key(key_env) | dict(map(_field, headers))
    name, accepted = cast(Name, dialect), [_known(text) for text in known]
    chosen = random.randrange(_SEEDS) if seed is None else seed
    with Asker(base_url, fields, timeout) as asker:
        ask = Patient(asker.ask, timeout, sleep, tell)
        try:
            report = run(ask, name, model, examples=examples, seed=chosen, known=accepted, tell=tell)
        except NotUsable as refused:
            raise ConfigError(f"{shown(base_url)}: {refused}") from None
    report.facts = {"url": shown(base_url), "dialect": dialect, "model": model, "seed": chosen, "adapter": __version__}
    return report


def _known(text: str) -> Known:
    known = Known.read(text)
    if known.law not in names():
        raise ConfigError(f"--except: no law is called {known.law!r}; they are {', '.join(names())}")
    return known


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
