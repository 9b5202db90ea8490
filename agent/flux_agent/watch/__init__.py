"""Files that arrive at a source: when one is ready, and what workers do to find out."""
