"""Forecasters: the contract, the baselines, and the one `Forecaster` that composes a network with its parts."""
