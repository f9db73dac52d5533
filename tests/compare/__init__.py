"""Statistics against what is known: simulated fleets, scipy, and sums done by hand."""
