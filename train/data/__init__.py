"""Training data: data sets of any format, in memory or behind an index, as batches."""
