"""DeepDream and the tunnel."""
