"""Language models made of texts."""
