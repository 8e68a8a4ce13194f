"""Read, write, show and convert hardware checkpoints, the model files of Myrtle's card."""
