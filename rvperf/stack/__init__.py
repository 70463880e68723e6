"""What system software does, as models attached to privilege levels: firmware and kernel."""
