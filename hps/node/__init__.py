"""What this machine is, its probes, the verdict on them, and SaladCloud's metadata service.

facts         everything that is known of this node, as one value; disk and gpu are parts of it
probe         is a target usable, and how fast is the way to it?
proxy         the proxy that requests go through
rtt           the time of a TCP connect to the hosts that matter
bandwidth     counts of bytes over time -> a rate; pure
starvation    was this machine short of processor time while it measured?
verdict       readings against the rules of an experiment; pure
metadata      the client of SaladCloud's metadata service
salad         is this SaladCloud, and how is the node left?
"""
