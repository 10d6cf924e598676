"""What is wrong with a value, in our own words: one sentence for each kind of finding, and what may have been meant."""
