"""The four functions of the service, one folder each; ``compose_runner.service.lambda_http`` is what they share."""
