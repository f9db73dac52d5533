"""Stored results of many nodes: brought together, read as tables, asked, written out anew."""
