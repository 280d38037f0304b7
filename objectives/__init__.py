"""Training objectives (losses), one per file."""
