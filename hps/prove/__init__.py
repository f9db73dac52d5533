"""Hold a tool against the wire: what it is told, what a recording proxy sees, and what it says."""
