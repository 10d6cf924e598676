"""What the pages of deployments need besides templates: the way in phases, charts, links, what forms ask for."""
