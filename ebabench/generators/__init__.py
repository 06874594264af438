"""Models and how they are run: cards, checkpoints, environments, workers, the shared sampler."""
