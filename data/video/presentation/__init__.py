"""When and how each frame is shown: presentation times, orientation, pixel aspect, cropping."""
