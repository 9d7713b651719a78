"""Sealed blobs: what a client carries for us in `encrypted_content`, so that a replica needs no memory.

    adapter:1:<kind>:<origin>:<key id>:<base64url of AES-SIV( zlib(payload) )>

The header is readable, so that a person can tell what a blob is; nothing in it is believed before the seal holds. The
associated data of the seal are version, key id, tenant, kind and origin: a blob opens for the tenant it was made for,
as what it was made as, and a client cannot aim the router by editing the origin. AES-SIV needs no nonce and is
deterministic: equal content gives equal blobs, so upstream prompt caches hit. Compression comes first, since ciphertext
does not compress; the attacker would have to choose text beside a secret in the same payload and see lengths, and a
payload holds one conversation only, all of which its client has.

Every failure is the one `InvalidEncryptedContent`, whatever was wrong: foreign, cut, forged, another tenant's, an old key.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, TypeGuard
from urllib.parse import quote, unquote

from adapter.errors import ConfigError, InvalidEncryptedContent, UpstreamInvalid

if TYPE_CHECKING:
    from adapter.compaction.ciphers import Cipher

PREFIX: Final = "adapter:"
_VERSION: Final = "1"
_FIELDS: Final = 5
_KEY_ID: Final = 3
"""How many stand behind the prefix, and which of them is the key's."""
SECRET_BYTES: Final = 32
MAX_SEALED: Final = 20_971_520
"""The API's bound on `encrypted_content`, in characters."""
MAX_PAYLOAD: Final = 64 * 1024 * 1024
"""Nothing larger is sealed, and no more than this is ever decompressed."""
DEFAULT_TENANT: Final = "default"
"""Who everyone is as long as there are no keys."""


class Kind(Enum):
    """What a blob holds."""

    SUMMARY = "summary"
    """A compaction of ours."""
    REASONING = "reasoning"
    """The reasoning text of a Chat upstream."""
    SIGNED = "signed"
    """What a Chat upstream wants back with its calls."""
    WRAPPED = "wrapped"
    """An upstream's own blob; the origin is that upstream's name."""


class Opened(NamedTuple):
    """A blob whose seal held."""

    kind: Kind
    origin: str
    payload: bytes


class KeyRing:
    """The sealing keys, first one first: it seals, all of them open."""

    def __init__(self, secrets: Sequence[bytes], *, accept_default: bool = False) -> None:
        """From secrets of 32 bytes, one at least.

        `accept_default` also opens, for any tenant, what was sealed before there were keys and so tenants.
        """
        self._secrets = tuple(secrets)
        self._accept_default = accept_default

    @cached_property
    def _ciphers(self) -> dict[str, Cipher]:
        """By id, the first one first."""
        from adapter.compaction.ciphers import Cipher

        return {cipher.id: cipher for cipher in map(Cipher, self._secrets)}

    @classmethod
    def from_base64(cls, keys: Sequence[str], *, accept_default: bool = False) -> KeyRing:
        """From keys as they stand in the configuration.

        Raises:
            ConfigError: one is not base64 of 32 bytes; the message does not repeat it.
        """
        return cls([secret_from_base64(key) for key in keys], accept_default=accept_default)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._ciphers)})"

    def seal(self, payload: bytes, *, kind: Kind, tenant: str, origin: str = "") -> str:
        """`payload` as text that only this tenant gives back, unchanged and as this kind.

        Raises:
            UpstreamInvalid: it is too large to be carried; what is sealed always comes from an upstream.
        """
        if len(payload) > MAX_PAYLOAD:
            raise UpstreamInvalid("The upstream's content is too large to be sealed.")
        cipher = next(iter(self._ciphers.values()))
        body = cipher.encrypt(zlib.compress(payload), _associated(cipher.id, tenant, kind.value, origin))
        text = f"{PREFIX}{_VERSION}:{kind.value}:{quote(origin, safe='')}:{cipher.id}:{_encoded(body)}"
        if len(text) > MAX_SEALED:
            raise UpstreamInvalid("The upstream's content is too large to be sealed.")
        return text

    def open_sealed(self, text: object, *, tenant: str, param: str | None = None) -> Opened:
        """What `seal` was given.

        Raises:
            InvalidEncryptedContent: for anything that is not a whole, untouched blob of this tenant under a key we hold.
        """
        opened = self._opened(text, tenant)
        if opened is None and self._accept_default and tenant != DEFAULT_TENANT:
            opened = self._opened(text, DEFAULT_TENANT)
        if opened is None:
            raise not_verified(param)
        return opened

    def knows(self, text: object) -> bool:
        """Whether this claims to be sealed under a key we hold: an adapter behind this one has keys of its own."""
        fields = _fields(text) if is_ours(text) else []
        return len(fields) == _FIELDS and fields[_KEY_ID] in self._ciphers

    def _opened(self, text: object, tenant: str) -> Opened | None:
        if not is_ours(text) or len(text) > MAX_SEALED or not text.isascii():
            return None
        fields = _fields(text)
        if len(fields) != _FIELDS:
            return None
        version, kind, quoted, key_id, encoded = fields
        cipher, body, origin = self._ciphers.get(key_id), _decoded(encoded), unquote(quoted)
        if version != _VERSION or cipher is None or body is None or quote(origin, safe="") != quoted:
            return None
        try:
            packed = cipher.decrypt(body, _associated(key_id, tenant, kind, origin))
            return None if packed is None else Opened(Kind(kind), origin, _unpacked(packed))
        except (ValueError, zlib.error):
            return None


def is_ours(text: object) -> TypeGuard[str]:
    """Whether this claims to be a blob of an adapter, of any version; cheap, and proves nothing."""
    return isinstance(text, str) and text.startswith(PREFIX)


def _fields(text: str) -> list[str]:
    return text[len(PREFIX) :].split(":", _FIELDS)


def not_verified(param: str | None) -> InvalidEncryptedContent:
    """The one answer to every blob that cannot be used."""
    return InvalidEncryptedContent(
        "The encrypted content could not be verified. It must be passed back unchanged, by the caller it was made for.",
        param=param,
    )


def secret_from_base64(key: str) -> bytes:
    """One configured key, in either base64 alphabet, padded or not.

    Raises:
        ConfigError: it is not base64 of 32 bytes; the message does not repeat it.
    """
    text = key.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        secret = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise ConfigError(f"sealing.keys: each key is base64 of exactly {SECRET_BYTES} bytes")
    return secret


def _associated(key_id: str, tenant: str, kind: str, origin: str) -> list[bytes]:
    return [part.encode("utf-8", "surrogatepass") for part in (PREFIX + _VERSION, key_id, tenant, kind, origin)]


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes | None:
    """The bytes behind the one way to write them; a changed last character must not open, though its bits are unused."""
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return data if _encoded(data) == text else None


def _unpacked(packed: bytes) -> bytes:
    """Raises ValueError where the payload is cut or larger than anything `seal` takes."""
    inflate = zlib.decompressobj()
    payload = inflate.decompress(packed, MAX_PAYLOAD + 1)
    if not inflate.eof or inflate.unused_data or len(payload) > MAX_PAYLOAD:
        raise ValueError("not one whole payload")
    return payload
