"""Stages, one per file: each makes a library function a cached, tracked Prefect task."""
