"""Optimizers of an image, and the loop over scales."""
