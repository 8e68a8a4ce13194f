"""The process that steps a model, and the event loop's side of it."""
