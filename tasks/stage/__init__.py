"""What makes a function a stage, and nothing else; it knows nothing of text or training.

`stage` and `workspace` are what a stage's file uses. The rooms below them import one way: system <- identity <- store <- tracking <-
recovery <- execution.
"""
