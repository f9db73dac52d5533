"""Spec -> plan: the cells of a sweep, its operations in order, and what they will cost."""
