"""Which events are masked, and how many."""
