"""What a deployment is, what may be asked of it, its service and the environments it passes."""
