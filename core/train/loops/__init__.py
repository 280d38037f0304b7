"""Training loops: of one stage, and of several rows that train together."""
