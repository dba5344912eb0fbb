"""The functions as processes, and the addresses at which they answer."""
