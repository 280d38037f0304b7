"""Readers of data sets of computer vision for science: the behaviour of animals."""
