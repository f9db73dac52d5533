"""Buckets: their client, copies of results, what sends them during a run, and clean-up."""
