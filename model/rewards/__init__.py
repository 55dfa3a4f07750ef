"""Rewards: a reply in, a number out, one file a reward. They know neither model nor tokens."""
