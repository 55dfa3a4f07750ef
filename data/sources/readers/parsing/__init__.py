"""What readers share: their interface, named fields, and lines of text."""
