"""Run the command line: python -m metriclearn."""

import sys

from metriclearn.app.cli import main

sys.exit(main())
