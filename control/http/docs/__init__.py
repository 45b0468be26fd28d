"""The page of the APIs' documentation."""
