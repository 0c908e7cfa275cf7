"""The version, read by the build, the command line and the recipes."""

__version__ = "0.1.0"
