"""Run the command line: python -m metriclearn."""

import sys

from metriclearn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
