"""`python -m bench.link` is the command."""

import sys

from bench.link.cli import main

if __name__ == "__main__":
    sys.exit(main())
