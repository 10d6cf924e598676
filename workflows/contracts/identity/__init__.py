"""Who somebody is, which names are one, and whose word something is."""
