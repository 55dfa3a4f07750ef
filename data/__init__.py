"""Text and tokens: pure functions over Arrow, Parquet and DuckDB."""
