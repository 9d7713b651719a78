"""The composition root: settings in, ASGI application out. No logic."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.types import ASGIApp

from adapter.compaction.options import Options
from adapter.notifying import Manager
from adapter.sections import Settings
from adapter.server.calls.asking import Asking
from adapter.server.courses.deciding import Courses
from adapter.server.courses.keeping import KeepsNothing
from adapter.server.courses.routing import Routing
from adapter.server.doors import Doors, access, gate
from adapter.server.drain import Drain
from adapter.server.health import Livez, Probe, Readyz
from adapter.server.models import Models
from adapter.server.pipeline import Pipeline
from adapter.server.reloading import Again, Reloading
from adapter.server.routes import router
from adapter.server.served import Served
from adapter.server.settle import Books
from adapter.server.tasks import Tasks
from adapter.telemetry.log import configure, log
from adapter.upstream.client import UpstreamClient
from adapter.upstream.health import Health
from adapter.upstream.models import Catalog
from adapter.upstream.router import Router, Upstream


def create(settings: Settings, again: Again | None = None, manager: Manager | None = None) -> ASGIApp:
    """The adapter that these settings describe. `again` reads them anew when SIGHUP asks for that; without it this process does
    what it likes with the signal. `manager` hears what becomes of it.

    Raises:
        ConfigError: it cannot be served.
    """
    server, manager = settings.server, manager or Manager({})
    client, tasks = UpstreamClient(_trusted), Tasks()
    doors = Doors.of(settings, tasks)
    stored = None
    if settings.store.mode != "off":
        from adapter.server.stored.ondemand import OnDemand

        observe = None if doors.meters is None else doors.meters.stored_in
        stored = OnDemand(settings, observe, lambda: drain.draining)
    health = Health(time.monotonic, random.random)
    asking = Asking(client=client, settings=server, tasks=tasks)

    def served(settings: Settings) -> Served:
        upstreams = Router([Upstream.of(upstream) for upstream in settings.upstreams])
        courses = Courses(
            routing=Routing(router=upstreams, health=health.afresh(), access=access(settings)),
            asking=asking,
            compaction=Options.of(settings.compaction),
            ring=settings.sealing.ring(),
            keeping=KeepsNothing() if stored is None else stored,
        )
        catalog = Catalog(client, upstreams, time.monotonic)
        return Served(gate=gate(settings), courses=courses, catalog=catalog)

    books = Books(access_log=server.access_log, meter=doors.meter, meters=doors.meters)
    pipeline = Pipeline(settings=server, served=served(settings), tasks=tasks, books=books)

    def take(settings: Settings) -> None:
        pipeline.served = served(settings)

    failures = None if doors.meters is None else doors.meters.reload_failures
    reloading = None if again is None else Reloading(settings, again, take, manager, tasks=tasks, failures=failures)
    drain = Drain(
        pipeline.running, manager, delay=server.drain_delay, timeout=server.drain_timeout, worker=server.workers > 1
    )

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        configure(server.log_level)
        client.open()
        drain.listen()
        if reloading is not None:
            reloading.listen()
        doors.start()
        if stored is not None:
            stored.start()
        manager.ready()  # who connects before the server accepts waits in the backlog
        try:
            # a second Ctrl-C: the server goes without a word, and its loop ends this
            with suppress(asyncio.CancelledError):
                yield
        finally:
            if stored is not None:
                await stored.close(drain.left)
            drain.forget()
            if reloading is not None:
                reloading.forget()
            await doors.close()
            await tasks.close()
            await client.close()
            log.flush()

    endpoints = {} if stored is None else stored.endpoints(pipeline)
    probe = None if stored is None else Probe(stored.ready, tasks, clock=time.monotonic)
    front = router(pipeline, Models(pipeline), Livez(), Readyz(drain, probe), lifespan, endpoints)
    return _for_pages(front, server.cors_origins) if server.cors_origins else front


def _for_pages(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """The application, for the scripts of pages from these origins as well."""
    from starlette.middleware.cors import CORSMiddleware  # a tenth of a start that needs it nowhere else

    return CORSMiddleware(
        app, origins, ("GET", "POST", "DELETE"), allow_headers=("*",), expose_headers=("*",), allow_private_network=True
    )


def _trusted() -> ssl.SSLContext:
    """The certificates of this machine."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
