"""Metrics of generated texts: captions and open answers."""
