"""Readers of raw input files for corpus preparation, one kind of input per module."""
