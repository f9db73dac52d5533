"""Stored results -> an answer: selected, grouped, compared in pairs, and decided. Pure."""
