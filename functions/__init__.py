"""The four functions of the service, one folder each; see ``compose_runner.http`` for the door they share."""
