"""Figures and one offline page from the JSON document of inspect-gradients (docs/json.md)."""
