"""Restores texts to what their authors wrote, by rules in SQL that account for every edit."""
