"""Training: the Objective interface, masks, optimizer, training step, loop, checkpoints and logs."""
