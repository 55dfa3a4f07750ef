"""Keys, digests and fingerprints."""
