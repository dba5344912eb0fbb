"""The application: what the template describes, made in the embedded AWS."""
