"""One sanitizing method a file, each registered by name."""
