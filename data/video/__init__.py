"""Video files to pixels: containers, decoding, frame sampling, crops."""
