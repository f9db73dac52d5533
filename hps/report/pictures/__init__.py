"""Findings -> pictures: what each shows as rows and marks, drawn by Altair and vl-convert."""
