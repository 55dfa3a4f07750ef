"""Networks, and the directories that models lie in."""
