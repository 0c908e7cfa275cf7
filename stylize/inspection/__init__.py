"""What the network sees: pictures of its filters, of its answers, of what excites it."""
