"""Encoders: the video tower, the text tower and their preset sizes."""
