"""Image files and pixels: reading, writing, colour, metadata, contact sheets, films."""
