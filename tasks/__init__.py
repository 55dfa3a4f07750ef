"""One file a stage: a library function made a cached, tracked Prefect task."""
