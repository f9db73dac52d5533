"""Where results are kept: a journal on disk, and a copy in the bucket."""
