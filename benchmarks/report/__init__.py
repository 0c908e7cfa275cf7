"""One command, one report: speed, convergence, quality and peers, measured in one run."""
