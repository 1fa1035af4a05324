"""What optimizers are evaluated on, one file for each kind."""
