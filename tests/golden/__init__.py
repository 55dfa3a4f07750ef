"""Golden digests: what the built-in recipes made, file by file, so that a change of structure can prove that it changed no result."""
