"""What an update does to weights: LAMB, its learning rate, averaged weights, gradient noise."""
