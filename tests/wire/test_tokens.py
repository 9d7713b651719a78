"""Random names: each once, in every process."""

from __future__ import annotations

import os

from adapter.wire.tokens import token


def test_no_name_comes_twice() -> None:
    names = [token() for _ in range(2000)]
    assert len(set(names)) == 2000
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)


def test_a_forked_process_has_names_of_its_own() -> None:
    token()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, token().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 32).decode() not in {token() for _ in range(300)}
