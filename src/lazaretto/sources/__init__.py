"""Who delivers: registered sources, their keys, and the signed manifests that they send."""
