"""Findings -> pictures: what each shows as rows and marks of Vega-Lite, drawn by vl-convert."""
