"""Stored references and drift profiles: fitted, promoted and compared versions."""
