"""`python -m rwsstore` is `rws`."""

from rwsstore.cli.main import run

if __name__ == "__main__":
    run()
