"""The identity of an execution: its key, the trace of what it read, and digests of files."""
