"""The embedded AWS: moto with a state machine interpreter, and ECS tasks that are processes."""
