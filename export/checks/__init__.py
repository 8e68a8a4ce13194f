"""What an export has to pass, and what it lost."""
