"""Linear algebra of sanitizing: products, factors and eigenvectors that are fast on a CPU."""
