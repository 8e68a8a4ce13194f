"""Published corpora in their original layouts, one reader per file; `catalogue` lists them."""
