"""The losses: the contract, and one file for each."""
