"""Many pictures: planned, claimed, painted, recorded."""
