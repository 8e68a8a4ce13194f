"""Files that are read and written with care: text that people write, and files replaced in one step."""
