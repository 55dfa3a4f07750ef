"""The output of the commands, as text for people or JSON for machines."""
