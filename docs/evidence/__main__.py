"""`python docs/evidence`, the command of evidence.py."""

from evidence import main

raise SystemExit(main())
