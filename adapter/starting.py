"""While a program starts."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_TERMINAL: Final = "/dev/tty"


@contextmanager
def starting() -> Iterator[None]:
    """Imports leave no garbage, and looking for it is a tenth of a start. What serves turns the collector on itself."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def open_streams() -> None:
    """Whoever started this process may have closed its standard streams: what is said would go to sockets in their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free, which is its own
            os.set_inheritable(number, True)  # to the workers
            setattr(sys, name, os.fdopen(number, mode))


def terminal_there() -> bool:
    """Whether this process has a terminal that can hang up, and did not."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def hold_reload() -> None:
    """A SIGHUP waits until somebody listens, see `server.reloading`: whoever starts a server may have it reload at once. That of
    a terminal which hangs up ends this process."""
    if not terminal_there():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def hear_of_children() -> None:
    """Whoever started this process may not have wanted to hear of its own: ours could not be waited for then, which that hands on."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def have_all_files() -> None:
    """As many as this process may have: a stream takes two, and what is usual (1,024) is for programs that cannot have more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # it may be more than the system gives
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
