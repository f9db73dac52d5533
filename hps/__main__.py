"""`python -m hps` is `hps`."""

from hps.cli.main import main

if __name__ == "__main__":
    main()
