"""Where a version stands that is live once more, and what one goes back to."""
