"""Where recordings and shards lie: local paths, mounts and S3, and how fast they are read."""
