"""Read and write files of `torch.save` without torch and without running anything."""
