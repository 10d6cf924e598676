"""One look at the whole: what waits, and what is wrong with it."""
