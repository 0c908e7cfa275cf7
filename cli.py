"""Launcher for a checkout without an install: ``python cli.py transfer …``."""

from stylize.cli.main import main

if __name__ == "__main__":
    main()
