"""Metrics with exact definitions of their corner cases; one family a file, the larger families in rooms."""
