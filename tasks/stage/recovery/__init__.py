"""Recovery: notice runs whose process died, and close what they left open."""
