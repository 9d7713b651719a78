"""The command line: serve, check, settings, keys, store, codex-config, convert, conform."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import click

from adapter import __version__, listening
from adapter.apart import afresh, apart
from adapter.commands import end, ends_at_config_errors, keys
from adapter.config import load
from adapter.errors import AdapterError, ConfigError, StoreUnavailable
from adapter.hub.request import DialectName
from adapter.kinds import Secret
from adapter.sections import Settings, Upstream
from adapter.starting import have_all_files, hear_of_children, hold_reload, open_streams, starting
from adapter.wire.address import shown, without_user

_DIALECT: Final = click.Choice(["chat", "responses"])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="adapter")
def main() -> None:
    """Any client of Chat Completions or Responses over any upstream that speaks either."""


@main.command()
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file.")
@click.option("--upstream", metavar="URL", help="Without a file: the base URL of the one upstream.")
@click.option("--dialect", type=_DIALECT, help="What that upstream speaks.")
@click.option("--profile", metavar="NAME", help="What kind of server it is (default: generic).")
@click.option("--upstream-key-env", metavar="NAME", help="The environment variable that holds its key.")
@click.option("--demo", is_flag=True, help="Serve the offline demo model.")
@click.option("--host", metavar="H")
@click.option("--port", type=click.IntRange(0, 65535), metavar="P")
@click.option("--workers", type=click.IntRange(1), metavar="N")
@click.option("--open", "open_", is_flag=True, help="Without keys, also where other machines reach the port.")
@ends_at_config_errors
def serve(
    config: Path | None,
    upstream: str | None,
    dialect: DialectName | None,
    profile: str | None,
    upstream_key_env: str | None,
    demo: bool,
    host: str | None,
    port: int | None,
    workers: int | None,
    open_: bool,
) -> None:
    """Serve until a signal comes: SIGTERM and SIGINT let answers finish, a second one ends them.

    SIGHUP has the configuration read again. What it says of upstreams, keys, groups, compaction and sealing counts from the
    next turn on; of server, store, limits and metrics from the next start on.

    A service manager that names NOTIFY_SOCKET is told: systemd's Type=notify-reload.
    """
    with starting():
        open_streams()
        hear_of_children()
        have_all_files()
        hold_reload()
        server = {"host": host, "port": port, "workers": workers, "open": open_ or None}
        said = {key: value for key, value in server.items() if value is not None}
        upstreams: tuple[Upstream, ...] = ()
        if upstream is not None:
            if dialect is None:
                raise ConfigError("--upstream needs --dialect chat or --dialect responses")
            key = None if upstream_key_env is None else Secret(f"${upstream_key_env}")
            upstreams = (
                Upstream("upstream", upstream, dialect, key, profile="generic" if profile is None else profile),
            )
        elif dialect or profile or upstream_key_env:
            raise ConfigError("--dialect, --profile and --upstream-key-env belong to --upstream")
        if demo and upstream is not None:
            raise ConfigError("--demo and --upstream exclude each other")
        model = listening.bound("127.0.0.1", 0) if demo else None
        if model is not None:
            from adapter.demo.running import sections

            upstreams = sections(model)
        from adapter import serving  # before the child, which then knows what both need

        read = partial(load, config, said, upstreams)
        try:
            settings = read(apart)
        except ChildProcessError as lost:
            end(1, f"adapter: the configuration was not read: {lost}")
        serving.serve(settings, partial(afresh, read), model)


main.add_command(keys)


@main.command()
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file; the environment counts as well.")
@ends_at_config_errors
def check(config: Path | None) -> None:
    """Validate a configuration and print what would be served."""
    settings = load(config)
    if not settings.upstreams:
        raise ConfigError("upstreams: none is configured")
    _check_places(settings)
    click.echo(described(settings))


def _check_places(settings: Settings) -> None:
    """That something can be kept where they say, as far as that is known without going there.

    Raises:
        ConfigError: it cannot.
    """
    if settings.store.mode != "off" and settings.store.url is not None:
        from adapter.store.opening import opened

        opened(settings.store)
    if settings.limits.url is not None:
        from adapter.access.shared import Shared
        from adapter.server.tasks import Tasks

        Shared(settings.limits.url, Tasks())


def described(settings: Settings) -> str:
    """What these settings would serve, for a human; without keys."""
    server, metrics = settings.server, settings.metrics
    lines = [f"listens on {listening.url(server.host, server.port)}, workers {server.workers}, losses {server.losses}"]
    if metrics.port is not None:
        lines.append(f"metrics at {listening.url(metrics.host, metrics.port)}/metrics")
    lines += [_who_may_ask(settings), _what_is_kept(settings)]
    for upstream in settings.upstreams:
        key = _whose_key(upstream.keys)
        by = "" if upstream.proxy is None else f" by way of {without_user(upstream.proxy.get_secret_value())}"
        lines.append(
            f"upstream {upstream.name}: {upstream.dialect} at {shown(upstream.base_url)}{by}, profile {upstream.profile}, "
            f"key: {key}, models: {', '.join(upstream.models)}, "
            f"compact: {upstream.compact}"
        )
        lines += [f"  alias {alias} -> {name}" for alias, name in upstream.aliases.items()]
    return "\n".join(lines)


def _who_may_ask(settings: Settings) -> str:
    if not settings.keyed:
        return "callers need no key"
    groups = ", ".join(f"{group.name} ({', '.join(group.models)})" for group in settings.access_groups)
    counted = "" if settings.limits.url is None else ", limits in Redis"
    return f"callers need a key; groups: {groups}{counted}"


def _what_is_kept(settings: Settings) -> str:
    section = settings.store
    match section.mode:
        case "off":
            return "nothing is stored"
        case "client":
            what = "stores what clients ask for"
        case "always":
            what = "stores every answer"
    where = "a SQLite file in the state directory" if section.url is None else "store.url"
    return f"{what} in {where}, for {section.ttl} s" if section.ttl else f"{what} in {where}, for ever"


def _whose_key(keys: Sequence[Secret] | None) -> str:
    if keys is None:
        return "the caller's"
    if not keys[0].get_secret_value():
        return "none"
    return "its own" if len(keys) == 1 else f"{len(keys)} of its own"


@main.command()
def settings() -> None:
    """Print every key of the configuration with what it means, what it takes and its default, as a TOML file."""
    from adapter import reference

    click.echo(reference.settings(), nl=False)


@main.group()
def store() -> None:
    """Look at, and clean, what is stored."""


@store.command()
@click.option("--config", type=click.Path(path_type=Path), help="The TOML file that the adapter runs with.")
@ends_at_config_errors
def stats(config: Path | None) -> None:
    """Print how much is stored."""
    _of_store(config, "stats")


@store.command()
@click.option("--config", type=click.Path(path_type=Path), help="The TOML file that the adapter runs with.")
@ends_at_config_errors
def purge(config: Path | None) -> None:
    """Remove what has expired; a running adapter does that by itself."""
    _of_store(config, "purge")


def _of_store(config: Path | None, verb: str) -> None:
    section = load(config).store
    if section.mode == "off":
        raise ConfigError('store.mode is "off": nothing is stored')
    from adapter.store import opening, verbs

    try:
        click.echo(verbs.stats(section) if verb == "stats" else verbs.purge(section))
    except StoreUnavailable as fault:
        end(1, f"adapter: {opening.why(fault)}")


@main.command(name="codex-config")
@click.option("--config", type=click.Path(path_type=Path), help="The TOML file that the adapter runs with.")
@click.option("--url", metavar="URL", help="Where it is reached, where that is not what it listens on.")
@click.option("--model", metavar="M", help="The model (default: the first that the running adapter lists).")
@click.option(
    "--catalog",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write what Codex is told of the models to a file: not every version of it asks the adapter.",
)
@ends_at_config_errors
def codex_config(config: Path | None, url: str | None, model: str | None, catalog: Path | None) -> None:
    """Print a block for ~/.codex/config.toml that points Codex at the running adapter."""
    from adapter import pointing

    click.echo(pointing.codex_config(load(config), url, model, catalog))


@main.command()
@click.argument("what", type=click.Choice(["request", "reply", "stream"]))
@click.option("--from", "source", type=_DIALECT, required=True, help="The dialect of what is read.")
@click.option("--to", "target", type=click.Choice(["chat", "responses", "hub"]), required=True)
@click.option("--profile", metavar="NAME", default="generic", help="What kind of server the upstream is.")
@click.option(
    "--request",
    "asked",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The client's request that a reply or stream answers.",
)
@ends_at_config_errors
def convert(what: str, source: str, target: str, profile: str, asked: Path | None) -> None:
    """Translate standard input to standard output; losses and anomalies are JSON lines on standard error.

    \b
    Ends with
      0  where it was translated, also where a stream then tells of a failure,
      1  where it cannot be; standard error says why, as the client's API would,
      2  for a bad option.
    """
    from adapter import converting
    from adapter.upstream.profiles import profile as named_profile

    server = named_profile(profile)
    if asked is not None and what == "request":
        raise ConfigError("--request belongs to a reply or a stream")
    try:
        converting.convert(what, source, target, server, asked, sys.stdin.buffer, sys.stdout.buffer, sys.stderr)
    except AdapterError as refused:
        end(1, converting.line(refused.body()))
    except BrokenPipeError:  # whoever reads has enough
        raise
    except OSError as trouble:
        end(1, f"adapter: {trouble}")


@main.command()
@click.argument("url")
@click.option("--dialect", type=_DIALECT, required=True, help="The API that is asked.")
@click.option("--model", required=True, metavar="NAME", help="The model that answers; a small one will do.")
@click.option("--key-env", metavar="NAME", help="The environment variable that holds the key.")
@click.option(
    "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A further header; several may be given."
)
@click.option(
    "--examples", type=click.IntRange(0), default=20, show_default=True, help="Requests that are drawn; 0: none."
)
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", help="Draw what an earlier run drew; its report says the number."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=60,
    show_default=True,
    help="Seconds an answer, and seconds to wait for a server that is loading (503) or has no room (429).",
)
@click.option(
    "--except",
    "known",
    multiple=True,
    metavar="'LAW[: WORDS]'",
    help="A known failure: a law, or those of its findings whose text or case holds the words; several may be given.",
)
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Print a line for each answer to standard error.  [default: where that is a terminal]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@ends_at_config_errors
def conform(
    url: str,
    dialect: str,
    model: str,
    key_env: str | None,
    headers: tuple[str, ...],
    examples: int,
    seed: int | None,
    timeout: float,
    known: tuple[str, ...],
    progress: bool | None,
    as_json: bool,
) -> None:
    """Ask the server at URL (it ends in /v1 or the like) and print where it breaks the protocol.

    \b
    Ends with
      0  where no law is broken, but for what --except names,
      1  where laws are broken,
      2  where there is nothing to ask: no server, no such model, a bad option.

    It costs tokens: about sixty short answers. Drawing requests needs Hypothesis: pip install 'responses-chat-adapter[conform]'.

    In CI, --seed makes two runs ask the same, and known failures are named until they are mended:

    \b
      adapter conform http://127.0.0.1:8000/v1 --dialect chat --model m --seed 1 --json \\
        --except 'is-refused: an unknown model' --except fits-its-schema
    """
    from adapter import conforming

    progress = sys.stderr.isatty() if progress is None else progress

    def tell(line: str) -> None:
        if progress:
            click.echo(line, err=True)

    report = conforming.conform(url, dialect, model, key_env, headers, examples, seed, timeout, known, tell)
    click.echo(report.json() if as_json else report.text())
    sys.exit(0 if report.ok else 1)
