"""One run: its folder, its loop, its checkpoints and its log. Importing this imports nothing heavy."""
