"""Real servers for the tests: S3 servers, TLS before one, and a proxy that records the wire."""
