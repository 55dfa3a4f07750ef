"""The model: layers, networks, training, inference, evaluation and release. torch, without Prefect, MLflow or DuckDB."""
