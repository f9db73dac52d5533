"""Secrets that are planted everywhere a run may get at them, and looked for wherever it writes."""
