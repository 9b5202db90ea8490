"""FileFlux: managed file transfer."""
