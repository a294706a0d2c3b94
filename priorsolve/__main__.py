"""`python -m priorsolve`."""

import sys

from priorsolve.cli import main

sys.exit(main())
