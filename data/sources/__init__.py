"""Sources of text: files, pinned package archives, or a generated universe, into one Parquet of documents."""
