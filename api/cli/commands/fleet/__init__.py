"""Commands about agents: their pools, keys, questions to them, and values sealed to them."""
