"""What the settings are worth: the published commands, the declared cell and a sweep, per link."""
