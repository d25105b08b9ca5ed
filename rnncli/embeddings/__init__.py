"""Word vectors: training, models, queries."""
