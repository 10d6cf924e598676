"""Store interfaces with their contract, a module for each subject. Every implementation passes ``tests/stores``.

All methods are coroutines, safe for concurrent use, and raise ``Unavailable`` when the backing service does not
answer or throttles; nothing else is raised unless named. Times are epoch milliseconds, sizes bytes.
"""
