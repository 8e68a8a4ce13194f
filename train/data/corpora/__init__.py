"""Published corpora in their original layouts, one reader a file; `catalogue` lists them."""
