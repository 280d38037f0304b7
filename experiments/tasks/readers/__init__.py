"""Readers of data sets, grouped by kind, one data set a file; here what all share, and a user's own files."""
