"""Run the command line: `python -m prismlab` equals `prismlab`."""

import sys

from prismlab.experiments import main

if __name__ == "__main__":
    sys.exit(main.main())
