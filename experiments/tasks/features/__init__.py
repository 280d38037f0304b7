"""Features of a frozen encoder: views of a clip, the encoder pass, stored and streamed features."""
