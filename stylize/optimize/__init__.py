"""The loop that follows the gradient: optimisers, the coarse-to-fine schedule, events."""
