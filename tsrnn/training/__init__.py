"""Training: compiled loop, optimizer, settings and history. Takes a loss as a value and knows no forecaster."""
