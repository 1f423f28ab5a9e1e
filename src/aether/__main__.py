"""`python -m aether`."""

from aether.cli import main

main()
