"""Files of `torch.save`, read and written without torch and without running anything."""
