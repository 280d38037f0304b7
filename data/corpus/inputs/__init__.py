"""Readers of raw files for corpus preparation, one kind a file."""
