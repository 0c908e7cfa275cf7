"""The commands of ``stylize inspect``, one a module; the computations are elsewhere."""
