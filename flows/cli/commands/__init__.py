"""What a user can type: one file for each group of commands. They parse; `flows.cli` acts, and `flows.cli.views` words the result."""
