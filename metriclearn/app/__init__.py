"""What only the command line uses: a trained classifier in a folder, its report, and the commands."""
