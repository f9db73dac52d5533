"""Facts as data, pure: storage providers, what may go wrong and whose fault it is."""
