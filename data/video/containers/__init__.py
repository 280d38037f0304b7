"""Open video and picture files safely: demuxers, tracks, limits on size and time, damage."""
