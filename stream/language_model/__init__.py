"""Language models for beam search: their n-grams, and the files that hold them."""
