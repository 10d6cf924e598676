"""Bans of versions and commits: stored, lifted, found."""
