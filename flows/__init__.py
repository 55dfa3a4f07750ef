"""The pipeline: which stages run, and in which order. Flows compute nothing themselves, and neither read nor write."""
