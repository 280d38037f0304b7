"""Corpus preparation: raw files to shards, with a manifest and quality checks."""
