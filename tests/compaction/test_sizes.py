"""How large things are."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapter.compaction.sizes import MEDIA_BYTES, total_tokens, utf8_length, weight


@given(text=st.text(st.characters(exclude_categories=[]), max_size=50), times=st.sampled_from([1, 3000]))
def test_utf8_length_is_the_length_in_utf8(text: str, times: int) -> None:
    assert utf8_length(text * times) == len((text * times).encode("utf-8", "surrogatepass"))


def test_keys_texts_and_scalars_weigh_and_images_weigh_as_images() -> None:
    assert weight({"ab": ["cd", 1, None]}) == 2 + 2 + 5 + 5
    assert weight({"image_url": "data:image/png;base64," + "A" * 10**6}) == len("image_url") + MEDIA_BYTES


def test_tokens_are_a_quarter_of_the_bytes_rounded_up() -> None:
    assert (total_tokens(["abcde"]), total_tokens(["abcde", "fgh"]), total_tokens([""])) == (2, 2, 0)


def test_no_depth_is_too_deep() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]

    assert weight(deep) == 1
    while isinstance(deep, list):  # let go of it step by step: the interpreter's own unwinding is not under test
        deep = deep.pop()
