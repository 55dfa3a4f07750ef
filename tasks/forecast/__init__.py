"""Forecast how long the stages of a plan will take and how much they will write, from what earlier executions took."""
