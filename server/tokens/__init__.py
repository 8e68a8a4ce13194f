"""Named tokens: the file that holds them, their limits, what each has used, and client secrets."""
