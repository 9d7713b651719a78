"""`adapter keys`: made, listed, revoked and rotated in `keys.toml` beside the configuration."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from math import isfinite
from pathlib import Path
from typing import NoReturn, ParamSpec

import click

from adapter.access.groups import Group
from adapter.access.keys import NAME, Key, KeyFile, digest_of, new_secret, today
from adapter.access.sections import EVERYONE, KeySection, check_groups
from adapter.errors import ConfigError

P = ParamSpec("P")


def ends_at_config_errors(command: Callable[P, None]) -> Callable[P, None]:
    """A configuration that cannot be served ends in one line and exit code 2."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ConfigError as refused:
            end(2, f"adapter: {refused}")

    return run


def end(code: int, line: str) -> NoReturn:
    """Stop here, with one line for the user."""
    click.echo(line, err=True)
    sys.exit(code)


_CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), required=True, help="The TOML file that the adapter runs with."
)


@click.group()
def keys() -> None:
    """Keys of callers: kept as hashes in keys.toml beside the configuration; a running adapter takes changes at once."""


@keys.command()
@click.argument("id")
@click.option("--owner", required=True, metavar="NAME", help="Whose data and limits the key uses.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="What it may reach; may be given several times.")
@_CONFIG
@ends_at_config_errors
def add(id: str, owner: str, groups: tuple[str, ...], config: Path) -> None:
    """Make a key and print it, this once."""
    file, configured, sections = _place(config)
    if any(section.id == id for section in configured):
        raise ConfigError(f"keys: {config} itself has a key {id!r}; choose another id")
    for what, name in (("id", id), ("owner", owner)):
        if NAME.match(name) is None:
            raise ConfigError(f"keys: the {what} {name!r} must be letters, digits, '.', '_', '@' or '-'")
    secret, fresh = new_secret(), not file.path.exists()
    key = Key(id, digest_of(secret), owner, groups or (EVERYONE,), today(time.time()))
    check_groups([replace(section, upstreams=()) for section in sections], [key], ())
    file.add(key)
    click.echo(secret)
    click.echo(f"adapter: made key {id!r} of {owner!r}; it is shown this once and kept as a hash", err=True)
    if fresh and not configured:
        click.echo("adapter: from its next start or SIGHUP on the adapter asks every caller for a key", err=True)


@keys.command(name="list")
@_CONFIG
@ends_at_config_errors
def list_(config: Path) -> None:
    """Print the keys there are, without their secrets."""
    file, configured, _ = _place(config)
    for section in configured:
        click.echo(_line(section.id, section.owner, section.groups, "configured"))
    for key in file.read():
        overlap = key.previous is not None and time.time() < key.previous_until
        click.echo(
            _line(key.id, key.owner, key.groups, key.created + (", rotated, the old one opens" if overlap else ""))
        )


@keys.command()
@click.argument("id")
@_CONFIG
@ends_at_config_errors
def revoke(id: str, config: Path) -> None:
    """Take a key away; it opens nothing within a second."""
    file, _, _ = _place(config, id)
    file.revoke(id)
    click.echo(f"adapter: revoked key {id!r}", err=True)


@keys.command()
@click.argument("id")
@click.option(
    "--overlap", type=click.FloatRange(0), default=0, metavar="HOURS", help="How long the old secret still opens."
)
@_CONFIG
@ends_at_config_errors
def rotate(id: str, overlap: float, config: Path) -> None:
    """Give a key another secret and print that, this once."""
    if not isfinite(overlap):
        raise ConfigError("--overlap: must be a number of hours that ends")
    file, _, _ = _place(config, id)
    secret = new_secret()
    file.rotate(id, digest_of(secret), time.time() + overlap * 3600)
    click.echo(secret)
    click.echo(f"adapter: rotated key {id!r}; the secret before it opens for {overlap:g} more hours", err=True)


def _place(config: Path, id: str | None = None) -> tuple[KeyFile, Sequence[KeySection], Sequence[Group]]:
    from adapter.config import KEYS_FILE
    from adapter.reading import read_access

    written = read_access(config)
    if id is not None and any(section.id == id for section in written.keys):
        raise ConfigError(f"keys: {id!r} stands in {config} itself; change it there")
    return KeyFile(written.keys_file or config.parent / KEYS_FILE), written.keys, written.groups


def _line(id: str, owner: str, groups: Sequence[str], remark: str) -> str:
    return f"{id:<24} owner {owner:<16} groups {', '.join(groups)}  ({remark})"
