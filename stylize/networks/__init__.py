"""VGG networks: architectures, weights, layer names, layer expressions."""
