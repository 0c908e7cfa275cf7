"""Neural style transfer and DeepDream."""

__version__ = "0.1.0"
