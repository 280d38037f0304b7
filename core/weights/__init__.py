"""Released weights: model presets, weight formats, and loading and saving them."""
