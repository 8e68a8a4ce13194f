"""Training: data, layers, loss, optimiser, the loop."""
