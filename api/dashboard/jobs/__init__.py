"""What the pages of jobs and dead letters are made of, apart from requests and templates. Pure."""
