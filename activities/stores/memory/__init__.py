"""Stores in memory, for unit tests: the same contract as DynamoDB and S3, and gone with the process.

No ``await`` stands between a read and the write that follows from it, so no lock is needed.
"""
