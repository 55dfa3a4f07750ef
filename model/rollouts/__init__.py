"""Rollouts: replies that the policy samples while it is trained, scored and written as shards before anything learns from them."""
