"""The command line: the only package that knows click, prints, or exits."""
