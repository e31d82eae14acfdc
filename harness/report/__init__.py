"""What people see: the terminal report."""
