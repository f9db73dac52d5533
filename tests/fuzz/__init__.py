"""Experiments, overrides, addresses and journals that nobody would write: none may crash `hps`."""
