"""Plan and execute stages."""
