"""Files and objects to the memory of a GPU, or of the CPU where there is none."""
