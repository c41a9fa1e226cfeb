"""Example workflows to copy: a delivery's way, and training on what was admitted."""
