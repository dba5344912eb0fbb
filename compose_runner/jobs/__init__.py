"""What the four functions do, as plain logic over ports: nothing here knows HTTP, Lambda or AWS."""
