"""``python -m stylize``."""

from stylize.commands import main

if __name__ == "__main__":
    main()
