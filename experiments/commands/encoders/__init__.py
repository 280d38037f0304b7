"""Commands that use trained or released encoders and their weights."""
