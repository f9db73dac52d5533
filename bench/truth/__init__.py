"""What `hps` reports, held against what the link, a recording proxy and the kernel saw."""
