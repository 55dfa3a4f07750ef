"""Tracking: what a run costs, and what Prefect and MLflow show of it."""
