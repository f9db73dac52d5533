"""How fast a target, or the network, is from this node; and whether a target can be used."""
