"""Encoders, training and released weights; knows no objective, no data set and no gin."""
