"""What a run will do before it starts: what runs, what is reused, what differs and what it costs."""
