"""Configuration of a training run: TOML into frozen structs that know no torch."""
