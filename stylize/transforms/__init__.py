"""What happens to pixels and gradients on their way: blurs, bands, periodic and affine maps."""
