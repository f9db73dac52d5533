"""Facts as data, pure: providers, kinds of step, tools, prices, and failures with their owners."""
