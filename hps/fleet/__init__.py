"""Fleets: what the nodes that share an experiment have done so far."""
