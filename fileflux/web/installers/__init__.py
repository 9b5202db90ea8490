"""The scripts that install an agent from a hub, and the part of them that is Python."""
