"""Start, follow and stop the worker processes of a job."""
