"""rclone against other S3 tools on equal terms: chunk size and concurrency checked on the wire."""
