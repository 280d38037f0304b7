"""Encoders that a command names, and their evaluation."""
