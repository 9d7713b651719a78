"""The program: `adapter`, or `python -m adapter`."""

from __future__ import annotations

import gc
import os


def run() -> None:
    """Imports leave no garbage, and looking for it is a twentieth of a start; nor are the plugins of other packages looked for,
    which would be shown the keys in the settings."""
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from adapter.cli import main

    gc.enable()
    main()


if __name__ == "__main__":
    run()
