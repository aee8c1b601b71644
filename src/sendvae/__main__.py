"""Run the command line by `python -m sendvae`, for where `sendvae` is not on the path."""

from sendvae.cli.main import main

if __name__ == "__main__":
    main()
