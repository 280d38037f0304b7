"""File access: local paths, gs:// and other URLs through one interface."""
