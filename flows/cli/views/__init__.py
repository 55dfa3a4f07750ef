"""What the commands print, as text for people or JSON for machines."""
