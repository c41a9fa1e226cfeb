"""One attack in each file: what it changes in a copy of a batch, and the paper that it follows."""
