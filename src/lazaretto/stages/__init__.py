"""The stages of a batch's way, one file each; all idempotent."""
