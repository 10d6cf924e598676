"""The innermost layer: ids, queues, statuses, specs, results, commands, errors and typed activity stubs.

Everybody imports from here; nothing here imports another package of this project, and nothing here does I/O.
"""
