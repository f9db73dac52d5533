"""Facts as data, pure: what may go wrong and whose fault it is."""
