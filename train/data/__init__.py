"""What a training learns from: data sets of any format, in memory or behind an index, as batches."""
