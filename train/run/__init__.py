"""A run in its folder: how it starts, resumes, reports and is selected from."""
