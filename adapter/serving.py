"""Running the application: the socket, the workers, the demo model beside it."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import socket
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from multiprocessing import Pipe
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

import click
import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from adapter import listening
from adapter.apart import beside
from adapter.compaction.keyfile import load_or_make_key_file
from adapter.config import renewed
from adapter.errors import ConfigError, StoreUnavailable
from adapter.kinds import Secret
from adapter.notifying import Manager
from adapter.sections import Settings
from adapter.server.http.joining import JoiningProtocol
from adapter.server.reloading import Again, Handed, Terminal, tell_failure
from adapter.state import state_directory
from adapter.store.paths import begins_at_once
from adapter.telemetry.counted import metrics_of_workers
from adapter.telemetry.log import log

if TYPE_CHECKING:
    from prometheus_client import Counter

    from adapter.telemetry.metrics import Listener

_CERTIFICATES: Final = "SSL_CERT_FILE"
"""Where OpenSSL is told the file of trusted certificates."""
_SILENT_SOCKET: Final = 120
"""Seconds that a ping may go unanswered: an agent may run its tools without a look at its socket."""
_AFTER_DEADLINE: Final = 5
"""Seconds for the failures that the drain writes at its deadline to get out."""
_WORKER_STARTS: Final = 30
"""Seconds in which a worker must answer its parent, from its start on: a machine that is short of a worker is a busy one."""
_BETWEEN_STARTS: Final = 5
"""Seconds from a worker's start to the next one in its place: what dies at once would do nothing else."""
_A_PING: Final = 0.5
"""Seconds that the parent is deaf while it waits for a worker."""


def serve(settings: Settings, again: Again, model: socket.socket | None = None) -> None:
    """Listen and serve until a signal comes. `again` reads the settings anew, and can be pickled; `model` is where the offline
    one, an upstream of these, is to answer.

    Raises:
        ConfigError: nothing to serve, or the address cannot be had.
    """
    settings = with_store(with_sealing_key(servable(settings), os.environ), os.environ)
    again = partial(_servable_again, again)
    server = settings.server
    manager = Manager(os.environ)
    listener = listening.bound(server.host, server.port)
    host, port = listener.getsockname()[:2]
    url = listening.url(host, port)
    _say(f"adapter: listening on {url}, serving {', '.join(u.name for u in settings.upstreams)}")
    if model is not None:
        from adapter.demo.running import pasteable, start

        start(model)
        _say(pasteable(f"{url}/v1"))
    graceful = math.ceil(server.drain_delay + server.drain_timeout + _AFTER_DEADLINE)
    config = uvicorn.Config(
        partial(_application, settings, again, manager),
        factory=True,
        loop="uvloop",
        interface="asgi3",
        http=JoiningProtocol,
        ws=cast(Any, _socket_protocol),  # uvicorn calls it like the class
        ws_max_size=server.body_limit,
        ws_ping_timeout=_SILENT_SOCKET,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=listening.BACKLOG,
        workers=server.workers,
        timeout_keep_alive=server.idle_connection,
        timeout_graceful_shutdown=graceful,
        timeout_worker_healthcheck=_WORKER_STARTS,
    )
    metrics: Listener | None = None
    failures: Counter | None = None
    try:
        if server.workers == 1:
            uvicorn.Server(config).run(sockets=[listener])
        else:
            if settings.metrics.port is not None:
                metrics, failures = metrics_of_workers(settings.metrics.host, settings.metrics.port)
            gc.enable()
            Workers(config, [listener], settings, again, manager, failures).run()
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
        if metrics is not None:
            metrics.close()


class Worker(Process):
    """One of several processes that serve, as its parent has it and as it is itself."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], handed: Handed) -> None:
        """`handed` is what its application asks when it is to reload."""
        super().__init__(config, sockets)
        self._handed = handed
        self._known = handed.settings
        self._refusal, self._refusing = Pipe(duplex=False)
        self.first = False
        """It is one of those that the server starts with."""
        self.next = 0.0
        """When its place is for another one at the earliest, as `monotonic` has it."""

    def start(self) -> None:
        """In the parent."""
        self.next = monotonic() + _BETWEEN_STARTS
        super().start()

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """In the process itself: serve. What cannot be served is for the parent to say."""
        try:
            super().target(sockets)
        except ConfigError as refused:
            self._refusing.send(refused)
            sys.exit(STARTUP_FAILURE)

    def refusal(self) -> ConfigError | None:
        """In the parent, once it has ended, and once: why it could not start; None if it could."""
        if self.exitcode != STARTUP_FAILURE:
            return None
        said = self._refusal.poll()
        return self._refusal.recv() if said else ConfigError("a worker could not start")

    def tell(self, settings: Settings) -> None:
        """In the parent: what was read, unless it was told already."""
        if settings is not self._known:
            self._known = settings
            with suppress(OSError):  # it has died since it was asked
                self.parent_conn.send(settings)

    def pong(self) -> None:
        """In the process itself: answer one question of the parent, or take what it tells."""
        said = self.child_conn.recv()
        if isinstance(said, bytes):
            self.child_conn.send(self.server.started)
        else:
            self._handed.settings = said
            os.kill(os.getpid(), signal.SIGHUP)


class Workers(Multiprocess):
    """The parent of several workers, which says when it has lost one, reads the configuration for all, and passes every other
    signal on."""

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        settings: Settings,
        again: Again,
        manager: Manager,
        failures: Counter | None = None,
    ) -> None:
        """`settings` are those of the workers, `again` reads them anew, `failures` counts what of that cannot be served."""
        self._settings = settings
        self._again = again
        self._manager = manager
        self._failures = failures
        self._starting = True
        self._refused: ConfigError | None = None
        self._handed = Handed(settings)
        self._due = False
        self._reading: Future[Settings] | None = None
        self._terminal = Terminal()
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        super().__init__(config, sockets)
        self.config.app = self._application()
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def handle_hup(self) -> None:
        """As a single process does, see `Reloading`."""
        if self._terminal.gone:
            self.should_exit.set()
        else:
            self._due = True

    def handle_term(self) -> None:
        """The first one ends this; a further one that came with it is left to `join_all`."""
        if self.should_exit.is_set():
            self.signal_queue.append(signal.SIGTERM)
        self.should_exit.set()
        self._manager.stopping()

    handle_int = handle_term

    def handle_signals(self) -> None:
        """Those that came; and what was read meanwhile goes to the workers, first to those that come later. Signals that come
        while it is read are one."""
        super().handle_signals()
        if self._reading is not None and self._reading.done():
            self._hand_on(self._reading)
            self._reading = None
            self._manager.ready()
        if self._due and self._reading is None:
            self._manager.reloading()
            self._due, self._reading = False, beside(self._again)

    def _hand_on(self, reading: Future[Settings]) -> None:
        try:
            read = reading.result()
            self._settings = renewed(self._settings, read)
        except Exception as refused:  # whatever it is: without a parent nobody would stop them
            tell_failure(refused, self._failures)
        else:
            self._handed.settings = read
            self.config.app = self._application()

    def _application(self) -> Callable[[], ASGIApp]:
        return partial(_application, self._settings, self._handed, Manager({}))

    def _started(self) -> Worker:
        """Another one. A SIGHUP waits until it listens: it would end it before."""
        worker = Worker(self.config, self.sockets, self._handed)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            worker.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        return worker

    def run(self) -> None:
        """Until a signal comes.

        Raises:
            ConfigError: one of the first workers could not start.
        """
        super().run()
        if self._refused is not None:
            raise self._refused

    def init_processes(self) -> None:
        """Start all."""
        first = [self._started() for _ in range(self.processes_num)]
        for worker in first:
            worker.first = True
        self.processes = [*first]

    def handle_ttin(self) -> None:
        """One more."""
        self.processes.append(self._started())
        self.processes_num += 1

    def join_all(self) -> None:
        """Wait for the workers to end. Who connects when none of them listens any more is refused; a further one of
        those that end this is passed on as the one that ends them at once, when they have heard of the first: of two at once
        Python tells the one with the smaller number first."""
        for listener in self.sockets:
            listener.close()
        self.processes[0].process.join(_A_PING)
        while living := [process.process for process in self.processes if process.process.is_alive()]:
            heard = {self.signal_queue.pop() for _ in list(self.signal_queue)}
            if heard & {signal.SIGTERM, signal.SIGINT}:
                for process in living:
                    os.kill(cast(int, process.pid), signal.SIGINT)
            living[0].join(_A_PING)

    def keep_subprocess_alive(self) -> None:
        """Start another one in the place of each that has died, or does not answer, and tell the others what was read. Nobody is
        waited for once a signal came, nor one that has died since it was asked. If one of the first cannot start, none can; where
        a later one cannot, the others go on, and it may be mended."""
        for place, worker in enumerate(cast("list[Worker]", self.processes)):
            until = monotonic() + _WORKER_STARTS
            while worker.process.is_alive() and not worker.ping(_A_PING):
                if self.signal_queue:
                    return
                if monotonic() > until:
                    worker.kill()
            if worker.process.is_alive():
                worker.tell(self._handed.settings)
                continue
            if monotonic() < worker.next and not worker.first:
                continue
            refusal = worker.refusal()
            if refusal is not None and worker.first:
                self._refused = refusal
                self.should_exit.set()
                return
            worker.kill()
            worker.join()
            self.processes[place] = self._started()
            why = {} if refusal is None else {"why": str(refusal)}
            log.error("worker_died", pid=worker.pid, exit=worker.exitcode, **why)
        if self._starting and all(worker.is_ready(_A_PING) for worker in self.processes):
            self._starting = False
            self._manager.ready()


def servable(settings: Settings) -> Settings:
    """The settings, with something in them to serve.

    Raises:
        ConfigError: there is nothing.
    """
    if not settings.upstreams:
        raise ConfigError("no upstream: give --config FILE, --upstream URL or --demo")
    return settings


def _servable_again(again: Again) -> Settings:
    return _placed(servable(again()), os.environ)


def _say(line: str, *, err: bool = False) -> None:
    """For whoever started this; nothing fails for want of a reader or of space on the disk."""
    with suppress(OSError):
        click.echo(line, err=err)


def _socket_protocol(**made: Any) -> asyncio.Protocol:
    """Imported with the first WebSocket: 8 ms and 1 MB that a client of plain HTTP does not need."""
    from adapter.server.socket.protocol import SocketProtocol

    return SocketProtocol(**made)


def with_sealing_key(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings with a sealing key: the generated one, which all workers share, where none is configured.

    Raises:
        ConfigError: the key file holds something else.
    """
    if settings.sealing.keys:
        return settings
    directory = state_directory(environ)
    made = load_or_make_key_file(None if directory is None else directory / "sealing.key")
    if made.warning is not None:
        _say(f"adapter: {made.warning}", err=True)
    key = Secret(b64encode(made.secret).decode("ascii"))
    return replace(settings, sealing=replace(settings.sealing, keys=(key,)))


def with_store(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings with a store that was looked at. Where nobody configured one and there is no place for it (a bare
    container, a read-only disk), without: nothing is stored then, and everything else works.

    Raises:
        ConfigError: the store can never be used as it is.
    """
    if (missing := _missing_place(settings, environ)) is not None:
        _say(f"adapter: nothing is stored: {missing}", err=True)
        return _placed(settings, environ)
    section = settings.store
    if section.mode == "off":
        return settings
    if not begins_at_once(settings, environ):
        return settings  # there is nothing to look at yet
    from adapter.store.opening import check, why

    try:
        asyncio.run(check(section))
    except StoreUnavailable as fault:  # it may be there later; until then what is to be stored gets a 503
        _say(f"adapter: {why(fault)}", err=True)
    return settings


def _placed(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings, without a store where there is no place for it."""
    missing = _missing_place(settings, environ)
    return settings if missing is None else replace(settings, store=replace(settings.store, mode="off"))


def _missing_place(settings: Settings, environ: Mapping[str, str]) -> str | None:
    """Why the default store cannot be written; None if it can, or is not asked for."""
    if settings.store.mode == "off" or "store" in settings.written:
        return None
    directory = state_directory(environ)
    if directory is None:
        return "no HOME and no XDG_STATE_HOME; store.url says where"
    database = directory / "store.db"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        writable = False
    else:
        writable = os.access(directory, os.W_OK | os.X_OK) and (not database.exists() or os.access(database, os.W_OK))
    return None if writable else f"{directory} cannot be written; store.url says where else"


def _application(settings: Settings, again: Again, manager: Manager) -> ASGIApp:
    """The application of one worker process, which from now on collects what its requests leave and nothing older.

    A tenth of a plain request's CPU: what was imported is never looked through again, and a 30 kB body alone makes as many
    containers as Python lets pass between two collections. One of 1 MB makes 25,000, and is freed without being looked through
    first: a tenth of its CPU, too. The little garbage of the start is not worth the 25 ms of looking for it.
    """
    with _certificates_unread():
        import_module("aiohttp")

    from adapter.app import create  # here, because the parent of several workers makes none

    app = create(settings, again, manager)
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 50)
    return app


@contextmanager
def _certificates_unread() -> Iterator[None]:
    """The HTTP library reads what this machine trusts as it is imported, twice: 40 ms, an eighth of a start, and 2 MB. The
    application reads it once, for the first upstream that is called over TLS."""
    named = os.environ.get(_CERTIFICATES)
    os.environ[_CERTIFICATES] = os.devnull
    try:
        yield
    finally:
        del os.environ[_CERTIFICATES]
        if named is not None:
            os.environ[_CERTIFICATES] = named
