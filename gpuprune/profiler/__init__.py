"""Global load efficiency: measured with ncu or nvprof, read from captured files, predicted."""
