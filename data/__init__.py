"""Data pipeline: shards, video decoding, synthetic clips, loader, corpus preparation; imports no jax."""
