"""``python -m ebabench``: the command line."""

from ebabench.cli import main

if __name__ == "__main__":
    main()
