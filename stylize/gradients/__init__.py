"""The gradient of a sum of losses with respect to the image, whole or in exact tiles."""
