"""The identity of an execution: its key, the fingerprint of its code, and digests of files."""
