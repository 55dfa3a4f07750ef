"""Restores texts to what their authors wrote: readable rules in SQL, each accounted for."""
