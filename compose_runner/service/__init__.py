"""The service: contract, operations, HTTP and AWS adapters; what the four functions ship."""
