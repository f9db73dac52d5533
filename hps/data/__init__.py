"""What is moved: files of a given size and content, made on this machine."""
