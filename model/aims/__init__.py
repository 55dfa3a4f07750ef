"""Aims: what each kind of tuning is for, measured row by row before and after a step, and what a step must hold to pass its gate."""
