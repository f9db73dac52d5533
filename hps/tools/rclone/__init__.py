"""rclone: its commands, its log, its error messages, and what these prove."""
