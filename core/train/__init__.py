"""Training: the Objective interface and its state, masks, learner, optimizer, schedules."""
