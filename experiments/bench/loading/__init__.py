"""Speed of the loader against bare decoders."""
