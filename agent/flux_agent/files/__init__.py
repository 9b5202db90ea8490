"""Files below the agent's roots: opening, listing, publishing."""
