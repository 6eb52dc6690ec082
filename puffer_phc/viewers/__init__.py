"""Seeing a policy: headless video."""
