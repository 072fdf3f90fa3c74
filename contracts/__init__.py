"""Every type that crosses a boundary: HTTP, files, graphs. Imports msgspec and the standard library only."""
