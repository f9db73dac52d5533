"""rclone beside the other tools of `hps`, with equal settings and as they come."""
