"""The process that steps a model, its supervision, and the event loop's side of it."""
