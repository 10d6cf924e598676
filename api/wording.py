"""A number and what it counts, in words: ``1 file``, ``2 files``. For the command line and the pages alike. Pure."""


def counted(number: int, what: str, many: str = "") -> str:
    """``what``: of one; ``many``: of any other number, where that is not ``what`` with an s. Thousands are parted."""
    return f"{number:,} {what if number == 1 else many or f'{what}s'}"
