"""Networks, their configs, and the directories that they are saved in."""
