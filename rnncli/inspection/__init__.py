"""The gradient instrument: how a loss travels back through time, resolved by lag, in float64."""
