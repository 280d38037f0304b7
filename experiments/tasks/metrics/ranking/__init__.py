"""Metrics of retrieval: ranks of right candidates, and what is computed of them."""
