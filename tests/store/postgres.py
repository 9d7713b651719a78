"""A PostgreSQL of the suite's own: Debian's binaries, an unprivileged user, a free loopback port, a temporary directory."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import asyncpg


def binaries() -> Path | None:
    """The newest server that Debian's packages, or the PATH, have."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One cluster. Without `fsync` it is as durable as killed clients and servers need; the machine does not crash here."""

    def __init__(self, bin: Path, *, fsync: bool = False) -> None:
        self.bin = bin
        self.fsync = fsync
        self.user = _unprivileged()
        self.directory = Path(tempfile.mkdtemp(prefix="adapter-postgres-"))
        if self.user is not None:
            shutil.chown(self.directory, self.user)
        self.data = self.directory / "data"
        self._run(
            "initdb", "-D", str(self.data), "-U", "adapter", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )
        self._count = 0
        self.port = _free_port()
        try:
            self.start()
        except AssertionError:  # somebody took the port in between
            self.port = _free_port()
            self.start()

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.bin / program, *arguments],
            user=self.user,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "on" if self.fsync else "off",
            "synchronous_commit": "on",
            "max_connections": 60,
            "shared_buffers": "32MB",
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = str(self.directory / "log")
        self._run("pg_ctl", "-D", str(self.data), "-o", options, "-l", log, "-w", "-t", "30", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def url(self, database: str) -> str:
        return f"postgresql://adapter@127.0.0.1:{self.port}/{database}"

    async def sql(self, statement: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
            await asyncio.sleep(0)  # the socket closes in the loop's next turn

    def new_database(self) -> str:
        """A database of its own; its name."""
        self._count += 1
        name = f"store_{self._count}"
        asyncio.run(self.sql(f"CREATE DATABASE {name}"))
        return name

    def close(self) -> None:
        self.stop()
        for _ in range(50):
            shutil.rmtree(self.directory, ignore_errors=True)
            if not self.directory.exists():
                return
            time.sleep(0.1)
