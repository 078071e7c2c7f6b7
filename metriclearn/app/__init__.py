"""What fits a classifier for the command line."""
