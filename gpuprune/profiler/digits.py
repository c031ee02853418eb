"""How many digits a computed number is worth."""


def denoised(value: float) -> float:
    """Drop what binary arithmetic adds beyond fifteen digits: 0.1 + 0.2 is 0.3.

    No profiler prints as many digits of what gpuprune computes with.
    """
    return float(f"{value:.15g}")
