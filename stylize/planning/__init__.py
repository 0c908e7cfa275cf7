"""Device, cost in FLOP and bytes, memory plan."""
