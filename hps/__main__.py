"""`python -m hps` is `hps`."""

from hps.cli import main

if __name__ == "__main__":
    main()
