"""Run as `python -m gpuprune`."""

from gpuprune.cli import cli

if __name__ == "__main__":
    cli(prog_name="gpuprune")
