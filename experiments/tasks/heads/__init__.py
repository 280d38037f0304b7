"""Heads trained on frozen features, and the grid that trains many of them at once."""
