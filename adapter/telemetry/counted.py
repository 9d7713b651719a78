"""Where several workers count: in mapped files of one directory, which the process that starts them makes and sums up.

The directory goes with that process; that of one that was killed, with the next one that makes a directory there. Who is alive
holds a lock on its own: the number of a process says nothing where containers share their memory.

Prometheus' library is told of the directory before it is imported.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import TYPE_CHECKING, Final

from adapter.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client import Counter

    from adapter.telemetry.metrics import Listener

_COUNTED_IN: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The library looks for it as it is imported."""
_MEMORY: Final = "/dev/shm"
"""Preferred, where it is: a full disk would end whoever writes into a mapped file."""
_NAMED: Final = "adapter-counted-"


def metrics_of_workers(host: str, port: int) -> tuple[Listener, Counter]:
    """Summed up by this process, which serves nothing else, and what it counts itself.

    Raises:
        ConfigError: the address cannot be had, or there is no place to count in.
    """
    try:
        directory = _made()
    except OSError as refused:
        raise ConfigError(f"metrics.port: several workers need a temporary directory ({refused.strerror})") from None
    os.environ[_COUNTED_IN] = str(directory)
    from prometheus_client import CollectorRegistry

    from adapter.telemetry.metrics import parent_of_workers, reload_failures

    return parent_of_workers(host, port, directory), reload_failures(CollectorRegistry())


def _made() -> Path:
    """A new directory, held until this process ends, beside none that nobody holds any more. It is held before it has the name
    that others look for.

    Raises:
        OSError: there is no place for it.
    """
    place = Path(_MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else gettempdir())
    for left in place.glob(f"{_NAMED}*"):
        with suppress(OSError):  # it is held, or somebody else's
            held = _held(left)
            shutil.rmtree(left, ignore_errors=True)
            os.close(held)
    made = Path(mkdtemp(prefix=f".{_NAMED}", dir=place))
    _held(made)
    return made.rename(made.with_name(made.name[1:]))


def _held(directory: Path) -> int:
    """The directory's file, locked for as long as it is open.

    Raises:
        OSError: another one has it, or it cannot be opened.
    """
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file
