"""One module per transfer tool: a cell -> command, its output -> effective settings."""
