"""Keys, tokens and signing in."""
