"""Everything that is to be measured on a GPU, one step after the other; see docs/gpu-run.md."""
