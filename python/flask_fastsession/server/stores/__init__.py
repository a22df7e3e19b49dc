"""The stores that come with the package, a module each; each is imported only where the config asks for it."""
