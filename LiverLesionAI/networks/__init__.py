"""Network architectures; importing a module of this package imports torch and MONAI."""
