"""Model towers, training loop and released weights; independent of objectives, data sets and gin."""
