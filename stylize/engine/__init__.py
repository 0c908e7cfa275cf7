"""How a gradient is had: ``(image, objective) -> (named losses, gradient)``, and its price."""
