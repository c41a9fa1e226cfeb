"""Statistics that detectors and drift share: conformal p-values and betting martingales."""
