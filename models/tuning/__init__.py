"""What suits this machine: a model's format, way, threads and sizes of batches, measured and kept with the model."""
