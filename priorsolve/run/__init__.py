"""A run: which photos, on their way from file to measurement to picture, one record each, in an output folder that survives anything."""
