"""Training forms of the encoder families: whole sequences, the same values and gradients."""
