"""Objects and uploads that interrupted runs left in the targets of an experiment, and removal."""
