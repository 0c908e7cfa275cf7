"""Many pictures: planned before the first, none lost, finished ones not done again."""
