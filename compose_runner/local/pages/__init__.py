"""The embedded service's own answers: its pages, the list of jobs, bundles that are sent, health, documentation."""
