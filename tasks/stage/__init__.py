"""What makes a task a stage, and nothing else: identity, store, plan, lineage, tracking."""
