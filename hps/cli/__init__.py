"""The command line: the group and the way out, and a module for each command."""
