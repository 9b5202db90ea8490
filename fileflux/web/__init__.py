"""The hub's HTTP side: REST for people and scripts; the agents' routes stand beside it."""
