"""The commands of tools/prepare_data.py: each a module with `add_options` and `run`."""
