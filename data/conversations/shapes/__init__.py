"""The public shapes of records that hold conversations, one file each."""
