"""Typed events inside the hub."""
