"""Interfaces that readers, features, heads and metrics share: items, protocol."""
