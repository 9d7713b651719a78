"""Blobs that only their tenant opens, unchanged, as what they were made as."""

from __future__ import annotations

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.compaction import sealing
from adapter.compaction.sealing import KeyRing, Kind, Opened, is_ours
from adapter.errors import ConfigError, InvalidEncryptedContent, UpstreamInvalid
from tests.compaction.histories import RING

OLD, NEW, OTHER = bytes(32), bytes([1] * 32), bytes([2] * 32)

names = st.text(st.characters(exclude_categories=[]), max_size=20)


@given(payload=st.binary(max_size=300), kind=st.sampled_from(Kind), tenant=names, origin=st.text(max_size=20))
def test_what_was_sealed_opens_under_every_rotation(payload: bytes, kind: Kind, tenant: str, origin: str) -> None:
    sealed = KeyRing([OLD]).seal(payload, kind=kind, tenant=tenant, origin=origin)

    for ring in (KeyRing([OLD]), KeyRing([NEW, OLD]), KeyRing([OTHER, NEW, OLD])):
        assert ring.open_sealed(sealed, tenant=tenant) == Opened(kind, origin, payload)
    assert is_ours(sealed)


def test_a_blob_that_an_earlier_build_sealed_still_opens() -> None:
    sealed = "adapter:1:wrapped:openai%2Fa%20b:UBikISWs:P8lwnvBLNwDfUgbKTFZXk6WWTiRgA4r9EOQuHNQBSg"

    assert RING.open_sealed(sealed, tenant="acme") == Opened(Kind.WRAPPED, "openai/a b", b"payload")


@given(payload=st.binary(max_size=100), tenant=names, other=names)
def test_no_other_tenant_opens_it(payload: bytes, tenant: str, other: str) -> None:
    sealed = RING.seal(payload, kind=Kind.SUMMARY, tenant=tenant)

    if other != tenant:
        with pytest.raises(InvalidEncryptedContent):
            RING.open_sealed(sealed, tenant=other)


@given(data=st.data(), payload=st.binary(max_size=100))
def test_a_blob_with_any_one_character_changed_or_cut_does_not_open(data: st.DataObject, payload: bytes) -> None:
    sealed = RING.seal(payload, kind=Kind.WRAPPED, tenant="t", origin="a.b:c d")
    at = data.draw(st.integers(0, len(sealed) - 1))
    put = data.draw(st.sampled_from(["", "A", "-", ":", "=", "%", "é", "\ud800", sealed[at] * 2]))

    if put != sealed[at]:
        with pytest.raises(InvalidEncryptedContent):
            RING.open_sealed(sealed[:at] + put + sealed[at + 1 :], tenant="t")


@pytest.mark.parametrize("payload", [b"a", b"ab", b"abc"])
def test_bits_that_say_nothing_may_not_be_changed_either(payload: bytes) -> None:
    sealed = RING.seal(payload, kind=Kind.SUMMARY, tenant="t")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    for other in [sealed[:-1] + last for last in alphabet if last != sealed[-1]] + [sealed[:-5] + "." + sealed[-5:]]:
        with pytest.raises(InvalidEncryptedContent):
            RING.open_sealed(other, tenant="t")


@pytest.mark.parametrize(
    ("old", "new"), [(":wrapped:", ":summary:"), (":openai:", ":azure:"), ("adapter:1", "adapter:2")]
)
def test_the_readable_header_is_authenticated(old: str, new: str) -> None:
    sealed = RING.seal(b"x", kind=Kind.WRAPPED, tenant="t", origin="openai")

    assert old in sealed
    with pytest.raises(InvalidEncryptedContent):
        RING.open_sealed(sealed.replace(old, new), tenant="t")


def test_every_failure_says_the_same() -> None:
    sealed = RING.seal(b"payload", kind=Kind.SUMMARY, tenant="t")
    broken = [
        "",
        "gAAAAABk",
        sealed[:-1],
        sealed + "A",
        sealed[:30],
        "adapter:",
        None,
        7,
        KeyRing([OTHER]).seal(b"x", kind=Kind.SUMMARY, tenant="t"),
    ]

    said = set()
    for text in broken:
        with pytest.raises(InvalidEncryptedContent) as refused:
            RING.open_sealed(text, tenant="t", param="input[3].encrypted_content")
        said.add(str(refused.value.body()))
    assert len(said) == 1
    assert refused.value.http_status == 400
    assert refused.value.code == "invalid_encrypted_content"


def test_equal_content_gives_equal_blobs_under_the_first_key() -> None:
    new_first, new_only, old_first = (
        KeyRing(secrets).seal(b"x", kind=Kind.SUMMARY, tenant="t") for secrets in ([NEW, OLD], [NEW], [OLD, NEW])
    )

    assert new_first == new_only
    assert new_first != old_first


def test_a_key_taken_out_of_the_ring_opens_nothing_any_more() -> None:
    sealed = KeyRing([OLD]).seal(b"x", kind=Kind.SUMMARY, tenant="t")

    with pytest.raises(InvalidEncryptedContent):
        KeyRing([NEW]).open_sealed(sealed, tenant="t")


def test_accept_default_opens_what_was_sealed_before_there_were_tenants_and_nothing_else() -> None:
    ring = KeyRing([OLD], accept_default=True)

    assert ring.open_sealed(ring.seal(b"x", kind=Kind.SUMMARY, tenant="default"), tenant="acme").payload == b"x"
    with pytest.raises(InvalidEncryptedContent):
        ring.open_sealed(ring.seal(b"x", kind=Kind.SUMMARY, tenant="globex"), tenant="acme")
    with pytest.raises(InvalidEncryptedContent):
        KeyRing([OLD]).open_sealed(ring.seal(b"x", kind=Kind.SUMMARY, tenant="default"), tenant="acme")


def test_text_is_compressed() -> None:
    assert len(RING.seal(b"the same words " * 1000, kind=Kind.SUMMARY, tenant="t")) < 400


def test_what_is_too_large_is_neither_sealed_nor_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    large = RING.seal(b"a" * 2000, kind=Kind.SUMMARY, tenant="t")
    monkeypatch.setattr(sealing, "MAX_PAYLOAD", 1999)

    with pytest.raises(UpstreamInvalid):
        RING.seal(b"a" * 2000, kind=Kind.SUMMARY, tenant="t")
    with pytest.raises(InvalidEncryptedContent):
        RING.open_sealed(large, tenant="t")
    monkeypatch.setattr(sealing, "MAX_PAYLOAD", 2000)
    assert len(RING.open_sealed(large, tenant="t").payload) == 2000
    monkeypatch.setattr(sealing, "MAX_SEALED", len(large) - 1)
    with pytest.raises(UpstreamInvalid):
        RING.seal(b"a" * 2000, kind=Kind.SUMMARY, tenant="t")
    with pytest.raises(InvalidEncryptedContent):
        RING.open_sealed(large, tenant="t")


def test_an_authentic_blob_with_a_bad_inside_is_refused_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for packed in (b"not zlib", zlib.compress(b"x")[:-1], zlib.compress(b"x") + b"more"):
        monkeypatch.setattr(zlib, "compress", lambda _, packed=packed: packed)
        sealed = RING.seal(b"x", kind=Kind.SUMMARY, tenant="t")
        with pytest.raises(InvalidEncryptedContent):
            RING.open_sealed(sealed, tenant="t")


def test_keys_come_from_base64_in_either_alphabet_and_errors_do_not_repeat_them() -> None:
    secret = bytes([251, 255] * 16)
    sealed = KeyRing([secret]).seal(b"x", kind=Kind.SUMMARY, tenant="t")

    for text in (
        base64.b64encode(secret).decode(),
        base64.urlsafe_b64encode(secret).decode().rstrip("="),
        base64.b64encode(secret).decode() + "\n",
    ):
        assert KeyRing.from_base64([text]).open_sealed(sealed, tenant="t").payload == b"x"
    for bad in ("", "short", "c2VjcmV0", "!" * 44, "é" * 44):
        with pytest.raises(ConfigError) as refused:
            KeyRing.from_base64([bad])
        assert bad == "" or bad not in str(refused.value)


def test_a_ring_shows_key_ids_and_no_keys() -> None:
    assert repr(KeyRing([OLD, NEW])).count(",") == 1
    assert base64.b64encode(NEW).decode() not in repr(KeyRing([NEW]))
