"""The agent: the program beside the files."""
