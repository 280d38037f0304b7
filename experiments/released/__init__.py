"""Released models applied to a user's own videos: initial weights, embeddings, search."""
