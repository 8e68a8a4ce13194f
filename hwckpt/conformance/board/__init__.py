"""What a board computed, compared with the vectors of a hardware bundle: the first difference, and what explains it."""
