"""Groups of widgets with one purpose each; they know their step by what it promises, not by its class."""
