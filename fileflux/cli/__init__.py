"""The command line of the hub and its users; one module per noun."""
