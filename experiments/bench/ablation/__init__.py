"""Cost of what surrounds a step: compilation, checkpoints, rows that train together, evaluations, reruns."""
