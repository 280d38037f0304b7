"""Evaluations: lists of tasks in gin files, the 33 benchmarks of the paper, which scores are its numbers."""
