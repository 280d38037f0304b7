"""Evaluations: lists of tasks in gin files, the 33 benchmarks of the paper, and which scores it reports."""
