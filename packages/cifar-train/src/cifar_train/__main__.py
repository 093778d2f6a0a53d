"""`python -m cifar_train` is `cifar-train`."""

import sys

from cifar_train.cli import main

if __name__ == "__main__":
    sys.exit(main())
