"""Released models: load weights, embed videos and text, search, and initialize training stages."""
