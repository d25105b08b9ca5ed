"""What a recipe may say: one frozen schema per command, and the loader that explains its mistakes."""
