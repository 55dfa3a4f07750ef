"""Journal, MLflow export, progress and cost."""
