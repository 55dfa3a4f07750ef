"""The local Prefect server and MLflow page."""
