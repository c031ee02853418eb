"""What pruning costs: train the paper's network, prune it, retrain it, count what is right."""
