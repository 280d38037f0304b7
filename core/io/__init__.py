"""File systems: local paths, gs:// and other URLs behind the same calls."""
