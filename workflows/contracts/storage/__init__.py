"""How long things are kept, and how much they take."""
