"""How time and memory grow with the length of plans and journals, and with what is stored."""
