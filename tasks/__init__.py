"""Stages, a file a chapter: each makes a library function a cached, tracked Prefect task."""
