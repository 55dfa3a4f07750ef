"""What made what, told: things found by any name they have, trees of lineage, where a document went, two runs compared."""
