"""Files a run writes and later commands read: the model file, the run folder, the checkpoint."""
