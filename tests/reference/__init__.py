"""Slow twins of the kernels in plain NumPy, written from the equations; nothing here imports rnncli.kernels."""
