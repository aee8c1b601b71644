"""`python -m sendvae`, where the command is not on the path."""

from sendvae.cli.main import main

if __name__ == "__main__":
    main()
