"""Masks, colour-coded regions, feathering, subject detection."""
