"""Readers of data sets: the annotation files as users have them, to items; one data set a file."""
