"""Evaluations of trained towers, one per module; a task returns named scores, each with its protocol."""
