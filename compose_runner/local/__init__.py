"""The whole service on one machine: the deployed parts in a real interpreter, without an account and without Docker.

Needs the ``local`` extra. Nothing here is imported by the deployed functions or by the task.
"""
