"""Networks: architectures, weights, layer names, layer expressions."""
