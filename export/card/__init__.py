"""Model cards: the README.md of a model directory, from its notes and a text that a person wrote."""
