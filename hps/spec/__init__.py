"""YAML text -> `Spec`: read within bounds, filled in, checked, and explained where it is wrong."""
