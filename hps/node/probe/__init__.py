"""Whether a target can be used from this node, and how fast a target or the network is."""
