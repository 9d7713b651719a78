"""`python -m adapter`: the same as `adapter`."""

from adapter.cli import main

main()
