"""Work in a process of its own: what it imports and allocates goes when it is done."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """What `work` returns in a child of this process, which must have no threads yet; the child knows all that was imported.

    Raises:
        Exception: what it raises.
        RuntimeError: the child was killed.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _tell(work, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise RuntimeError(f"the process for it ended with {os.waitstatus_to_exitcode(status)}")
    returned, raised = pickle.loads(told)
    if raised is not None:
        raise raised
    return cast(T, returned)


def _tell(work: Callable[[], object], writer: int) -> None:
    """In the child: never returns, and leaves what is buffered to the parent."""
    status = 1
    try:
        outcome: tuple[object, Exception | None]
        try:
            outcome = (work(), None)
        except Exception as raised:
            raised.add_note(traceback.format_exc())  # which says where, as its own traceback stays behind
            outcome = (None, raised)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickle.dumps(outcome))
        status = 0
    finally:
        os._exit(status)
