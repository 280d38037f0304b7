"""Neural network layers shared by all towers and decoders."""
