"""Results, comparisons, plans and nodes, as text, Markdown, CSV, JSON, a page and pictures."""
