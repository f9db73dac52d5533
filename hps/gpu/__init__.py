"""Bytes from files to the memory of a GPU: the device, page-locked buffers, the copying itself.

torch is imported when a step asks for the device, and never before: everything else works without.
"""
