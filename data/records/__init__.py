"""Stored examples: the record format and ArrayRecord shards."""
