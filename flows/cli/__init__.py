"""The `folio` command: one file a group of commands."""
