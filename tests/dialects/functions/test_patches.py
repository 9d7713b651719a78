"""Patches out of what models put around them, in any cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.dialects.functions.patches import PatchMender, bare, takes_patches

BODY = "*** Add File: a.md\n+```\n+*** End Patch ***\n+EOF ü\n"
PATCH = f"*** Begin Patch\n{BODY}*** End Patch"
STARS = f"*** Begin Patch ***\n{BODY}*** End Patch ***"
HEREDOC = f"apply_patch <<'EOF'\n{PATCH}\nEOF\n"

WRAPPED = [
    (STARS, PATCH),
    (f"\n{STARS}\n\n", f"\n{PATCH}\n\n"),
    (f"*** Begin Patch***\n{BODY}*** End Patch", PATCH),
    (f"{PATCH} ***", PATCH),
    (f"{PATCH}  ****  \n\n", f"{PATCH}  \n\n"),
    (STARS.replace("\n", "\r\n"), PATCH.replace("\n", "\r\n")),
    (f"```\n{PATCH}\n```", PATCH),
    (f"```patch\n{PATCH}\n\n```\n", f"{PATCH}\n"),
    (f"\n```diff \n{STARS}```", PATCH),
    (HEREDOC, f"{PATCH}\n"),
    (f"<<PATCH\n{PATCH}\nPATCH", f"{PATCH}\n"),
    (f'apply_patch << "END_OF"\n{STARS}\nEND_OF', f"{PATCH}\n"),
    (json.dumps({"input": PATCH}), PATCH),
    (json.dumps({"patch": STARS}, indent=2), PATCH),
    (json.dumps({"why": "w", "input": PATCH}), PATCH),
    (json.dumps(PATCH), PATCH),
    (json.dumps({"command": ["apply_patch", PATCH]}), PATCH),
    (json.dumps({"cmd": ["bash", "-lc", HEREDOC]}, ensure_ascii=False), f"{PATCH}\n"),
    (json.dumps({"command": HEREDOC}), f"{PATCH}\n"),
    (json.dumps(["apply_patch", PATCH]), PATCH),
    (f"```json\n{json.dumps({'input': PATCH})}\n```", PATCH),
    (f"apply_patch <<'EOF'\n```patch\n{STARS}\n```\nEOF", PATCH),
]
AS_WRITTEN = [
    "",
    " ",
    "***",
    "*** Begin Patch",
    "apply",
    PATCH,
    f"\n\n{PATCH}\n\n",
    PATCH.replace("\n", "\r\n"),
    f"  {STARS}",
    f"*** Begin Patch\n{BODY}",
    f"*** Begin Patch ***\n{BODY}",
    f"*** Begin Patch - first\n{BODY}*** End Patch ***",
    f"{PATCH} done ***",
    f"{PATCH} ***\ndone",
    f"{PATCH} ***\n***",
    f"{PATCH} ***{' ' * 200}",
    f"{PATCH}{' ' * 20}***",
    f"{PATCH}\xa0***\xa0",
    f"{PATCH}\n{STARS}",
    f"{STARS}\n{STARS}",
    f"```\n{PATCH}\n{PATCH}\n```",
    f"```\n{PATCH}\n```\nThat was it.",
    f"```\n{PATCH}",
    f"Here it is:\n```\n{PATCH}\n```",
    f"cd x && {HEREDOC}",
    f"{HEREDOC}&& ls",
    f"apply_patch <<'EOF'\n{PATCH}",
    "apply_patch --help",
    json.dumps({"command": ["git", "apply", PATCH]}),
    json.dumps({"command": ["apply_patch", PATCH], "workdir": "/elsewhere"}),
    json.dumps({"command": ["apply_patch", 1]}),
    json.dumps({"command": []}),
    json.dumps({"input": {"patch": PATCH}}),
    json.dumps({"input": "no patch"}),
    json.dumps({"input": json.dumps({"input": json.dumps({"input": json.dumps({"input": PATCH})})})}),
    '{"input": "*** Begin Patch',
    f"{' ' * 200}{STARS}",
]


def mended(*pieces: str) -> str:
    mender = PatchMender()
    told = "".join([mender.feed(piece) for piece in pieces] + [mender.close()])
    assert mender.mended == (told != "".join(pieces))
    return told


@pytest.mark.parametrize(("given", "meant"), WRAPPED)
def test_what_is_around_a_patch_is_taken_off_in_any_cut(given: str, meant: str) -> None:
    assert bare(given) == mended(given) == mended(*given) == meant


@pytest.mark.parametrize("given", AS_WRITTEN)
def test_anything_else_stays_as_it_was_written_in_any_cut(given: str) -> None:
    assert bare(given) == mended(given) == mended(*given) == given


@given(
    st.lists(
        st.sampled_from([*(a for a, _ in WRAPPED), *AS_WRITTEN, *STARS.splitlines(True), *"\n *`'\"{}[]<\\"]),
        max_size=5,
    ).map("".join),
    st.data(),
)
def test_an_input_does_not_depend_on_the_cut(whole: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    assert mended(*pieces) == mended(*whole) == bare(whole)
    assert bare(bare(whole)) == bare(whole)


@pytest.mark.parametrize("text", [f"{PATCH}\n", "Here it is:\n", "*** Update File: a.md\n"])
def test_what_begins_with_no_wrapping_is_given_as_it_comes(text: str) -> None:
    """But for the line, or the letters, that tell it."""
    mender = PatchMender()
    told = [mender.feed(piece) for piece in text]
    first = next(place for place, piece in enumerate(told) if piece)

    assert first <= len("*** Begin Patch")
    assert told[first:] == [text[: first + 1], *text[first + 1 :]]


def test_stars_behind_the_end_wait_for_what_follows() -> None:
    mender = PatchMender()

    assert [mender.feed(piece) for piece in (f"{PATCH} ", "*", "**", "\n", "x", "y")] == [
        PATCH,
        "",
        "",
        "",
        " ***\nx",
        "y",
    ]


@pytest.mark.parametrize(
    ("name", "form", "takes"),
    [
        ("apply_patch", {"type": "text"}, True),
        ("exec", {"type": "text"}, False),
        ("ApplyPatch", {"type": "grammar", "definition": 'begin_patch: "*** Begin Patch" LF'}, True),
        ("apply_patch", {"type": "grammar", "definition": 'start: "diff"'}, False),
    ],
)
def test_a_tool_takes_patches_by_its_grammar_or_its_name(name: str, form: dict[str, str], takes: bool) -> None:
    assert takes_patches(name, form) is takes
