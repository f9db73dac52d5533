"""The commands that work on stored results, one module for each; `hps.cli` adds them."""
