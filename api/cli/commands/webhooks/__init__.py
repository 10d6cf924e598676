"""`hybridci webhook`: what other tools send, what it does, and what a captured request would do."""
