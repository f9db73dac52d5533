"""What interrupted runs left in the targets of an experiment, and taking it away."""
