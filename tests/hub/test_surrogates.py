from hypothesis import given
from hypothesis import strategies as st

from adapter.hub.surrogates import REPLACEMENT, rejoined


def test_a_pair_cut_between_two_deltas_is_joined() -> None:
    """Nothing goes out before the second half has come."""
    first, held = rejoined("", "hi \ud83d")

    assert (first, held) == ("hi ", "\ud83d")
    assert rejoined(held, "\ude00!") == ("\U0001f600!", "")


def test_a_pair_spelled_as_two_escapes_in_one_delta_is_joined() -> None:
    assert rejoined("", "\ud83d\ude00") == ("\U0001f600", "")


def test_a_half_without_partner_becomes_the_replacement_character() -> None:
    assert rejoined("\ud83d", "x") == (REPLACEMENT + "x", "")
    assert rejoined("", "a\ude00b") == (f"a{REPLACEMENT}b", "")
    assert rejoined("\ud83d", "\ud83d") == (REPLACEMENT, "\ud83d")


def test_an_empty_delta_keeps_what_is_held() -> None:
    assert rejoined("\ud83d", "") == ("", "\ud83d")


@given(st.text(st.characters(codec="utf-8")), st.data())
def test_any_cut_into_utf16_units_gives_the_text_back(text: str, data: st.DataObject) -> None:
    units = [chr(unit) for unit in memoryview(text.encode("utf-16-le")).cast("H")]
    out, held = "", ""
    while units:
        size = data.draw(st.integers(1, len(units)))
        piece, held = rejoined(held, "".join(units[:size]))
        out, units = out + piece, units[size:]

    assert (out, held) == (text, "")


@given(st.lists(st.text(st.sampled_from("a\u00e9\ud83d\ude00\U0001f600"))))
def test_whatever_comes_the_output_is_valid_unicode(deltas: list[str]) -> None:
    held = ""
    for delta in deltas:
        piece, held = rejoined(held, delta)
        piece.encode()
        assert len(held) <= 1
