"""What tuning did to a model, for the report."""
