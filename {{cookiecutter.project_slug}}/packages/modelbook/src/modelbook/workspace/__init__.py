"""What commands share: the project, release directories, environments, checks."""
