"""Training of the lesion classifiers, from a configuration file to a finished bundle."""
