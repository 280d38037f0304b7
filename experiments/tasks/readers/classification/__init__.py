"""Readers of data sets of video classification."""
