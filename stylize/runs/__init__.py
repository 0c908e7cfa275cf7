"""Session, result, and the formats of recipe and checkpoint, which all products share."""
