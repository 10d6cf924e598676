"""Freezes and holds of many services at once. ``workflow`` is the way in."""
