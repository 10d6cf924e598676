"""A deployment: one version of one service on its way. ``workflow`` is the way in."""
