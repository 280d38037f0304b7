"""Neural network layers that every tower and decoder shares."""
