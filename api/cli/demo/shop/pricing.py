"""What a shirt costs."""


def price(orders: int) -> float:
    """For a customer who has ordered so often."""
    return 20.0
