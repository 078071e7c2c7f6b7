"""Run the command line: python -m metriclearn."""

import sys

from metriclearn.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
