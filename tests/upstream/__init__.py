"""The suites of other projects, and their extensions, with our classes in the place of stock's."""
