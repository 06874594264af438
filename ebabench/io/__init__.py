"""Files in and out: structure files, trajectories, and output folders of generators."""
