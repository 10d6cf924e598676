"""An environment: who may roll out into it, one at a time. ``workflow`` is the way in."""
