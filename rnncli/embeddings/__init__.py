"""Word vectors: their training, and what can be asked of them."""
