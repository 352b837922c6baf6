"""The shells: files, signals, environment, standard streams."""
