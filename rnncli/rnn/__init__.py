"""Recurrent networks: packed batches in, losses, gradients and predictions out."""
