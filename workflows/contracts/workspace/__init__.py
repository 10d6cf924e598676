"""What a job says of its workspace: the checkout, the files that it keeps, and what that asks of its agent."""
