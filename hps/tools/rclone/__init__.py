"""rclone: its commands, what it logs, what it complains of, and what that proves."""
