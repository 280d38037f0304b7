"""Evaluations of frozen towers, one a file; a task returns named scores, each with its protocol."""
