"""Videos to batches: shards, decoding, the rendered world, the loader, corpus preparation; imports no jax."""
