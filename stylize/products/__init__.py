"""What the program makes: transfers, dreams, inspections. They do not import each other."""
