"""The port: connections, requests and uploads."""
