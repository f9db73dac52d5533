"""Results -> summaries and comparisons; pure."""
