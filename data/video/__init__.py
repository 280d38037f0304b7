"""Video files to pixels: decoding, frame sampling, crops; containers and times in rooms of their own."""
