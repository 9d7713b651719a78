"""Work in a process of its own: what it imports and allocates goes when it is done."""

from __future__ import annotations

import os
import pickle
import socket
import threading
import traceback
from collections.abc import Callable
from typing import TypeVar, cast

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
    if status != 0:
        raise ChildProcessError(f"the process for it ended with {os.waitstatus_to_exitcode(status)}")
    returned, raised = pickle.loads(told)
    if raised is not None:
        raise raised
    return cast(T, returned)


def _tell(work: Callable[[], object], parent: socket.socket) -> None:
    """In the child: never returns, and leaves what is buffered to the parent."""
    status = 1
    try:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
        outcome: tuple[object, Exception | None]
        try:
            outcome = (work(), None)
        except Exception as raised:
            raised.add_note(traceback.format_exc())  # which says where, as its own traceback stays behind
            outcome = (None, raised)
        parent.sendall(pickle.dumps(outcome))
        status = 0
    finally:
        os._exit(status)


def _leave_with(parent: socket.socket) -> None:
    """It never says anything: what can be read is that it is gone."""
    parent.recv(1)
    os._exit(1)
