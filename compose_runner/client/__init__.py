"""Call a service: submit jobs, follow them, download what they leave."""
