"""Jitted kernels: arrays in, arrays out; no files, no printing, no configuration."""
