"""``python -m gcrl``: the same as the command ``gcrl``."""

from gcrl.cli import main

main()
