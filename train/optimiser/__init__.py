"""What an update does to weights: LAMB, averaged weights, gradient noise."""
