"""Processes of this machine: started, watched, guarded, stopped; their sockets."""
