"""The compiled training step: update, gradient accumulation, gradients of each objective alone."""
