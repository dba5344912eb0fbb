"""What the service launches: the state machine, the image, and the program in it."""
