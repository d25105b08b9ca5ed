"""The command line: the only room that prints, exits, and imports typer and rich."""
