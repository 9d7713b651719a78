"""Work in a process of its own: what it imports and allocates goes when it is done.

apart   in a child, for a process that has no threads yet; the quickest
afresh  in a new interpreter, for one that serves

And `beside`, in a thread of this process, for one that has something else to do meanwhile.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar, cast

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """What `work` returns in a child of this process, which must have no threads yet; the child knows all that was imported.
    It goes when this process does, whatever ends that.

    Raises:
        Exception: what it raises.
        ChildProcessError: the child was killed.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        _tell(work, theirs)
    theirs.close()
    with ours, ours.makefile("rb") as pipe:
        told = pipe.read()
        _, status = os.waitpid(child, 0)
    return cast(T, _outcome(os.waitstatus_to_exitcode(status), told))


def afresh(work: Callable[[], T], within: float = 60) -> T:
    """As `apart`, with what of this process can be pickled: `work`. It has so many seconds, and hears nothing of the signals that
    this process's group or terminal gets.

    Raises:
        Exception: what it raises.
        OSError: there is no interpreter to be had, it was killed, or it was too slow.
    """
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    asked = [sys.executable, "-P", "-m", __name__]
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(asked, stdin=theirs.fileno(), env=environ, start_new_session=True)
    told = b""
    with child, ours, ours.makefile("rb") as pipe:
        ours.settimeout(within)
        try:
            with suppress(ConnectionError):  # it ended before it had listened
                ours.sendall(pickle.dumps(work))
                told = pipe.read()
        except TimeoutError:
            child.kill()
            raise ChildProcessError(f"the process for it took more than {within} s") from None
        status = child.wait()
    return cast(T, _outcome(status, told))


def beside(work: Callable[[], T]) -> Future[T]:
    """What `work` returns or raises in a thread that nobody waits for: it goes with this process, whatever it is doing then. An
    `OSError` where there is no thread to be had."""
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()

    def run() -> None:
        try:
            outcome.set_result(work())
        except Exception as raised:
            outcome.set_exception(raised)

    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError as refused:
        outcome.set_exception(OSError(str(refused)))
    return outcome


def _outcome(status: int, told: bytes) -> Any:
    if status != 0:
        raise ChildProcessError(f"the process for it ended with {status}")
    returned, raised = pickle.loads(told)
    if raised is not None:
        raise raised
    return returned


def _done(work: Callable[[], object]) -> bytes:
    """Pickled: what it returned, what it raised."""
    outcome: tuple[object, Exception | None]
    try:
        outcome = (work(), None)
    except Exception as raised:
        raised.add_note(traceback.format_exc())  # which says where, as its own traceback stays behind
        outcome = (None, raised)
    return pickle.dumps(outcome)


def _tell(work: Callable[[], object], parent: socket.socket) -> None:
    """In the child: never returns, and leaves what is buffered to the parent."""
    status = 1
    try:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
        parent.sendall(_done(work))
        status = 0
    finally:
        os._exit(status)


def _leave_with(parent: socket.socket) -> None:
    """It never says anything: what can be read is that it is gone."""
    parent.recv(1)
    os._exit(1)


if __name__ == "__main__":
    asker = socket.socket(fileno=sys.stdin.fileno())
    _tell(pickle.load(asker.makefile("rb")), asker)
