"""Loggers: where metrics go besides metrics.jsonl, one adapter per file; `LOGGERS` lists them."""
