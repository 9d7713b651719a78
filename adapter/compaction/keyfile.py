"""The sealing key of an installation that configured none: made once, kept in a file that only its user reads."""

from __future__ import annotations

import os
import secrets
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from adapter.compaction.sealing import SECRET_BYTES, secret_from_base64
from adapter.errors import ConfigError

_OTHERS_BITS = 0o077


@dataclass(slots=True)
class SealingKey:
    """A secret, and what the operator should know of it."""

    secret: bytes = field(repr=False)
    warning: str | None = None
    """One line, where its file is not as it should be, or where there is none: what is sealed under it then dies with this process
    and means nothing to other replicas."""


def load_or_make_key_file(path: Path | None) -> SealingKey:
    """The secret in the file, made with mode 0600 if there is none; call it before workers start. Without a path it is made
    for this process only.

    Several processes that start at once agree: the file appears whole and only one of them makes it.

    Raises:
        ConfigError: the file is there and holds something else than a key.
    """
    if path is None:
        return _in_memory("no HOME and no XDG_STATE_HOME to keep it under")
    try:
        if not path.exists():
            _make(path)
        text = path.read_text("ascii", "replace")
        exposed = path.stat().st_mode & _OTHERS_BITS != 0
    except OSError as refused:
        return _in_memory(f"{path}: {refused.strerror or type(refused).__name__}")
    try:
        secret = secret_from_base64(text)
    except ConfigError:
        raise ConfigError(f"{path} does not hold a sealing key (base64 of {SECRET_BYTES} bytes)") from None
    return SealingKey(secret, f"{path} can be read by others; its mode should be 0600" if exposed else None)


def _in_memory(reason: str) -> SealingKey:
    warning = f"the sealing key lives in memory only: {reason}; sealed content will not survive a restart"
    return SealingKey(secrets.token_bytes(SECRET_BYTES), warning)


def _make(path: Path) -> None:
    """Write beside the place, then link: linking is exclusive, and nobody ever reads half a key."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(b64encode(secrets.token_bytes(SECRET_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first; its key counts
            os.link(draft, path)
    finally:
        draft.unlink()
