"""stream: the arithmetic of a streaming recogniser, from samples to text, without torch."""
