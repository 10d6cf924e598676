"""``python -m api.gateway``: ``hybridci gateway`` without the command line's own weight. `up` starts this."""

import sys

from api.cli.processes import run_process

if __name__ == "__main__":
    sys.exit(run_process("gateway"))
