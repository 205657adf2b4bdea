"""The option `processes`, which several modules take alike."""


class ModuleDocFragment:
    """Documentation that modules extend."""

    DOCUMENTATION = r"""
options:
  processes:
    description: The processes of this host.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The process's name.
        type: str
        required: true
      address:
        description: The address it listens on.
        type: str
        required: true
      port:
        description: The port.
        type: int
        required: true
      config:
        description: Where its configuration lies.
        type: path
        required: true
      owner:
        description: The user whose files these are; who runs the module unless said.
        type: str
      document:
        description: What its configuration says.
        type: dict
        required: true
"""
