"""What all products share: the session, the result, the formats of recipe and checkpoint."""
