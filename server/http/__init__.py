"""HTTP: connections, requests, uploads, and the upgrade to live streams."""
