"""The program: `adapter`, or `python -m adapter`."""

from __future__ import annotations

import os

from adapter.starting import starting


def run() -> None:
    """Pydantic looks for no plugins of other packages, which would be shown the keys in the settings."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with starting():
        from adapter.cli import main
    main()


if __name__ == "__main__":
    run()
