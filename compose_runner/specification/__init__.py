"""What a job asks for: its specification, read and checked before anything is downloaded or launched."""
