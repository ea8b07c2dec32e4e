"""The command line: one file per noun; parses and prints, nothing else."""
