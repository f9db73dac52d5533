"""Summaries -> table, CSV."""
