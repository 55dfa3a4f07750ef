"""The commands: one file for each group of them. They parse; `flows.cli` acts, and `flows.cli.views` words the result."""
