"""What the program is for: each technique is the other rooms, wired."""
