"""Hardware bundles: an integer model for boards, as flat arrays, a C header, a C reference and golden vectors."""
