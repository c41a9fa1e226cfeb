"""Tests of a batch as a whole, one a file."""
