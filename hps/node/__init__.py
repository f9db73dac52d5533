"""Who and what this machine is, its probes, the verdict on them, and SaladCloud's metadata service.

facts         everything that is known of this node, as one value
proxy         the proxy that requests go through
rtt           the time of a TCP connect to the hosts that matter
socket_bytes  the bytes that a process really moved, from the kernel's own counters
bandwidth     such byte counts over time -> a rate
verdict       readings against the rules of an experiment; pure
metadata      the client of SaladCloud's metadata service
salad         whether this is SaladCloud, and how to leave a node
"""
