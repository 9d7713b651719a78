"""What somebody probably meant who wrote a word that is not known."""

from __future__ import annotations

from collections.abc import Iterable


def hint(word: str, known: Iterable[str]) -> str:
    """How a sentence that says `word` is unknown goes on: with the nearest known one, in whatever case, else with all of them."""
    from difflib import get_close_matches  # only a mistake needs it

    spelled = {name.lower(): name for name in sorted(known)}
    near = get_close_matches(word.lower(), spelled, n=1)
    return f", did you mean {spelled[near[0]]!r}?" if near else f"; known: {', '.join(spelled.values())}"
