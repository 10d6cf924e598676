"""A first file for a repository: what is found there, and the text that says it."""
