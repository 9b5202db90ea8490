"""The agent protocol, sans-I/O; shared by hub and agent."""
