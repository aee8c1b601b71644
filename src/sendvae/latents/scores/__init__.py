"""One module a score: what it computes of the evidence, and how its numbers are read."""
