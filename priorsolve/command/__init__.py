"""What the command line shows and does beside its commands: progress, one-line errors, Ctrl-C, lists, checks."""
