"""Encoders: video tower, text tower and size presets."""
