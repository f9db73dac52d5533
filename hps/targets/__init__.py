"""Buckets: where they are, the way there, what is copied, sent, and cleaned up."""
