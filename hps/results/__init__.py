"""Stored results, on disk and in buckets: written, read, indexed, pulled and queried."""
