"""Average precision of localisation: boxes at keyframes, segments of untrimmed videos."""
